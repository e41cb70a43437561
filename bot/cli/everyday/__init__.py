"""
Commands for running the bot: set up, submit, watch and back up, and a tournament to try it on.

Read ``commands``, which declares them, then the module of a command: ``doctor``, ``run``, ``submit``, ``receipt``, ``status``,
``scores``, ``control``, ``alert``, ``health``, ``backup``. `bot init` calls :mod:`bot.cli.setup.init`, `bot demo` and
`bot sandbox` :mod:`bot.sandbox.demo`.
"""
