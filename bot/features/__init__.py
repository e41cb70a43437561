"""
Features: their codes, sets and distributions, and the preprocessing that training and live rounds share.

Pure functions of arrays: no network, no settings. It imports ``system``, ``errors`` and ``models.bins``. Read ``codes``,
``preprocess``, ``column_sums``, ``feature_sets``, ``distributions``.
"""
