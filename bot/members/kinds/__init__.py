"""
Kinds of members, one module for each.

``tsmixer``, ``mlp``, ``lightgbm``, ``benchmark``. :mod:`bot.members.registry` lists them and defines what a kind implements.
"""
