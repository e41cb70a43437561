"""The five classes of a Numerai target and what each is worth to a score; numbers only, no numpy, no torch."""

TARGET_VALUES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""The values a target takes; class *c* of the network stands for ``TARGET_VALUES[c]``."""

CLASS_PRIOR = (0.05, 0.2, 0.5, 0.2, 0.05)
"""Share of each class in every era of the main targets (Numerai's bins since 2020)."""

CLASS_RANKS = (-0.475, -0.35, 0.0, 0.35, 0.475)
"""Centred rank of each class, ties averaged, by the prior: half of its own share, plus the shares below it, less 0.5."""

CORR_VALUES = (-(0.5**1.5), -(0.25**1.5), 0.0, 0.25**1.5, 0.5**1.5)
"""sign(v - .5) |v - .5|^1.5: CORR is a correlation with this transform of the target."""

MMC_VALUES = TARGET_VALUES
"""MMC is a covariance with the centred target itself, so a class is worth its value."""
