"""
`bot doctor`: every fault that could keep a round from being submitted, with its cause and its fix.

It imports settings and assembly and everything below them. Read ``examination``, ``checks``, ``keys``, ``repairs``, then
``_setup`` (what a person wrote), ``_local`` (this machine and the state directory) and ``_numerai``.
"""
