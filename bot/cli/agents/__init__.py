"""
`bot mcp`: the bot as tools of an agent, over the Model Context Protocol.

A tool is a command of the bot with `--json`, run in a process of its own, or a small reader. Read ``commands``,
``tool``, ``reading``, ``actions``, ``server``. ``server`` needs the package mcp: the extra ``mcp``.
"""
