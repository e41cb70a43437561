"""
The SQLite record: rounds and submissions, alerts that wait to be sent, the heartbeat, backups.

It imports ``tournament`` and ``system``. Read ``database``, ``ledger``, ``outbox``, ``diagnostics``,
``heartbeat``, ``backup``.
"""
