"""
The command line: it parses, calls one function of the bot, and turns errors into one line and an exit code.

It imports everything below it. Read ``main``, ``app``, then a module a command.
"""
