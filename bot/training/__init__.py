"""
Training: recipes, splits, the training set, and the fits of networks and trees.

It imports ``serving`` and all below it. Read ``recipes``, ``recipe_file``, ``splits``, ``training_set``,
``training_data``, ``network_fit``, ``tree_fit``, ``stacking``, ``distributed``, ``benchmark_labels``,
``validation_score``, ``network_options``.
"""
