"""
Serving: artifacts on disk, and the scorer that turns rows into predictions with one of them.

It needs no torch. It imports ``history`` and all below it. Read ``names``, ``artifacts``, ``scorer``, ``version_pin``.
"""
