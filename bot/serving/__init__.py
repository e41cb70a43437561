"""
Serving: artifacts on disk, and the scorer that predicts rows with one of them.

It needs no torch. It imports ``history`` and packages below it. Read ``names``, ``artifacts``, ``scorer``, ``version_pin``.
"""
