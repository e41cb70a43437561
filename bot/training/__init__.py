"""
Training: recipes, splits, the data of a recipe, and fits.

It imports ``serving`` and all below it. Read ``recipes``, ``recipe_file``, ``splits``, ``training_set``, ``training_data``,
``benchmark_labels``, ``recipe_sync``, ``fits``, ``training_memory``, ``recipe_schema``, ``tracking``, and the package
``planning``.
"""
