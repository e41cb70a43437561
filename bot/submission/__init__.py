"""
Submission: a round from the live file to a submission that was read back.

It imports ``serving``, ``record`` and packages below them; it needs no torch. Read ``submit`` from top to bottom, then
``live_fetch``, ``fallbacks``, ``_turns``, ``_scoring_watch``, ``gates``, ``_delivery``, ``_late_queue``,
``submission_file``, ``live_benchmark``, ``_round_report``.
"""
