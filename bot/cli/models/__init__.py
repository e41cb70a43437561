"""
Commands for artifacts: fetch data, train, choose the champion, check and hand out.

Read ``commands``, which declares them, then the module of a command: ``sync``, ``retrain``, ``plan``, ``champion`` (promote and
roll back), ``verify``, ``pack``, ``unpack``, ``export``. ``publish`` and ``decision`` are shared by commands.
"""
