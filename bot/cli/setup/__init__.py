"""
Setting up: `bot init` asks for key, accounts, models and recipes, and writes ``bot.toml`` and the files of keys.

Read ``init``.
"""
