"""
The daemon: a loop over rounds, jobs on a schedule, and a notifier.

It loads no pandas and no onnxruntime: child processes do the work. It imports ``web``, ``record`` and the packages
below them. Read ``process``, ``_loop``, ``_accounts``, ``_background``, ``_alerts``, ``_jobs``, ``_notifier``, ``_post``, ``hooks``, ``alert_test``, ``wiring``.
"""
