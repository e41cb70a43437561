"""
Files, locks, child processes, logs and signals: the operating system as the bot uses it.

This package knows nothing of Numerai and imports only :mod:`bot.errors`. Read ``kill_points``, ``files``, ``file_names``, ``lock``,
``cores``, ``child_environment``, ``child_process``, ``signals``, ``output``, ``redaction``, ``log_lines``, ``logs``, ``moments``,
``progress``.
The package ``configuration`` is where settings come from.
"""
