"""Kinds of members, one module each; :mod:`bot.members.registry` lists them and defines the protocol."""
