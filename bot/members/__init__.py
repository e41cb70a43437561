"""
Members: the models of a recipe, of any kind.

A recipe lists members (:mod:`~bot.members.member`). A kind (:mod:`~bot.members.registry`) fits a member on eras
(:mod:`~bot.members.fitting`) and loads it again to score rows (:mod:`~bot.members.rows`). :mod:`bot.members.kinds` holds
one module a kind. :mod:`~bot.members.command_run` runs a person's program on one era, and
:mod:`~bot.members.predictions_file` reads its predictions.
"""
