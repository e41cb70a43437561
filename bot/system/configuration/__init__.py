"""
Where settings come from: the environment, ``bot.toml`` and files of secrets.

Read ``setting_sources`` (what is read, and from whom it is believed), ``secret_files``, ``setting_places`` (where a person
wrote a value).
"""
