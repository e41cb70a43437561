"""
Commands that measure artifacts and ideas; none of them changes what submits.

Read ``commands``, which declares them, then the module of a command: ``evaluate``, ``report``, ``diagnose``, ``tune``,
and the experiments ``e0``, ``e1`` and ``importance``.
"""
