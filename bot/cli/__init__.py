"""
The command line: commands of every day, of models and of research.

It imports everything below it. Read ``main``, ``app``, then ``everyday``, ``models`` and ``research``: in each,
``commands`` declares names, options and help, and every command is a module of its own. ``console``, ``extras``,
``evaluation``, ``answer``, ``moments`` and ``paths`` are shared by commands.
"""
