"""
The SQLite record: rounds, submissions, queued alerts and diagnostics; and beside it the heartbeat and the backups.

It imports ``tournament`` and ``system``. Read ``database``, ``failures``, ``control``, ``orders``, ``ledger``, ``looks``,
``outbox``, ``diagnostics``, ``hosted``, ``heartbeat``, ``running``, ``backup``.
"""
