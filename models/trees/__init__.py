"""
LightGBM: options, training with kept data sets and snapshots, and fast prediction from the text file.

It imports nothing of ``bot`` and no torch. Read ``gbm_options``, ``gbm_data``, ``gbm``, ``gbm_snapshots``,
``tree_text``, ``tree_bits``, ``lightgbm_c``, ``trees``.
"""
