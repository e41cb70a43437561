"""
The five bins of Numerai's features and targets, and what each target bin is worth to a score.

Plain numbers without numpy or torch, for every package of ``models`` and ``bot``.
"""

FEATURE_VALUES = (0, 1, 2, 3, 4)
"""Codes of a feature: five equal bins of an era's rows (``int8`` files of Numerai's data since v5)."""

MIDDLE_BIN = 2
"""Code of the median bin. Numerai writes it into every row of an era in which the feature is missing."""

BIN_VARIANCE = 2.0
"""Variance of the codes of five equal bins."""

MISSING_CATEGORY = 5
"""Code of a missing value where a recipe keeps missing values as a category of their own."""

TARGET_VALUES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Values of a target; class *c* of the network stands for ``TARGET_VALUES[c]``.

MMC is a covariance with the centred target, so they are also the value of each class to MMC.
"""

TARGET_SHARES = (0.05, 0.2, 0.5, 0.2, 0.05)
"""Share of the rows with each value, in every era of the main targets (Numerai's bins since 2020)."""

TARGET_RANKS = (-0.475, -0.35, 0.0, 0.35, 0.475)
"""Centred rank of each value with ties averaged: the shares below it, plus half of its own share, minus 0.5."""

CORR_VALUES = (-(0.5**1.5), -(0.25**1.5), 0.0, 0.25**1.5, 0.5**1.5)
"""Value of each class to CORR, a correlation with this transform of the target: ``sign(v - .5) * |v - .5|^1.5``."""
