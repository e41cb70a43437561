"""
The daemon: a loop that looks for open rounds, jobs on a schedule, and a notifier.

It loads no pandas and no onnxruntime; children of its own process do the work. It imports ``web``, ``record`` and all
below them. Read ``process``, ``_loop``, ``_jobs``, ``_accounts``, ``_notifier``, ``wiring``.
"""
