"""
The command line: setting up, commands of every day, of models and of research, data for programs, and the tools of agents.

It imports everything below it. Read ``main``, ``app``, then ``setup``, ``everyday``, ``models``, ``research``, ``data`` and
``agents``: in each but ``setup``, ``commands`` declares names, options and help, and every command is a module of its own.
``console``, ``extras``, ``evaluation``, ``answer`` and ``paths`` are shared by commands.
"""
