"""
`bot doctor`: every fault that could keep a round from being submitted, with its cause and its fix.

It imports settings and assembly and everything below them. Read ``examination``, ``checks``.
"""
