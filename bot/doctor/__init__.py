"""
``bot doctor``: everything that could keep a round from being submitted, each with its cause and its fix.

It imports ``assembly`` and all below it. Read ``examination``, ``checks``.
"""
