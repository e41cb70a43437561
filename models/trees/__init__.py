"""
LightGBM: options, training with kept data sets and snapshots, and fast prediction from the text file. Other libraries: trees.

It imports nothing of ``bot`` and no torch. Read ``gbm_options``, ``_gbm_data``, ``gbm``, ``_gbm_snapshots``,
``tree_text``, ``_tree_bits``, ``_lightgbm_c``, ``trees``; then ``decision_trees``, ``xgboost_trees``,
``catboost_trees``.
"""
