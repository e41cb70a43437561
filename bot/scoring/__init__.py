"""
Scores of predictions: CORR, MMC, BMC, their confidence intervals, neutralization and ensemble weights.

Pure functions of arrays: no files, no network, no settings. It imports ``tournament`` for the names of columns. Read
``metrics``, ``neutralize``, ``residual``, ``bootstrap``, ``summaries``, ``paired_comparison``, ``ensemble_weights``.
"""
