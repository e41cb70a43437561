"""
Commands for running the bot: set up, submit, watch and back up, and a tournament to try it on.

Read ``commands``, which declares them, then the module of a command: ``init``, ``doctor``, ``run``, ``submit``, ``receipt``,
``status``, ``scores``, ``control``, ``alert``, ``health``, ``backup``. `bot demo` and `bot sandbox` call :mod:`bot.sandbox.demo`.
"""
