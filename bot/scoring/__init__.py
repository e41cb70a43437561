"""
Scores of predictions: CORR, MMC and BMC, their confidence intervals, neutralization and ensemble weights.

Pure functions of arrays: no files, no network, no settings. It imports ``models.inference`` for ranks and nothing of
``bot`` but ``errors``. Read ``coverage``, ``ranked_columns``, ``metrics``, ``neutralize``, ``residual``, ``bootstrap``, ``mean_error``,
``summaries``, ``paired_comparison``, ``ensemble_weights``.
"""
