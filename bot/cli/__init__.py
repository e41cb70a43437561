"""
The command line: commands of every day, of models and of research, the data for other programs, and the tools of agents.

It imports everything below it. Read ``main``, ``app``, then ``everyday``, ``models``, ``research``, ``data`` and ``agents``: in each,
``commands`` declares names, options and help, and every command is a module of its own. ``console``, ``extras``,
``evaluation``, ``answer`` and ``paths`` are shared by commands.
"""
