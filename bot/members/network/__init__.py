"""
Networks as members.

Read ``options``, the configuration and the loop made from them (``setup``), the fit of every seed (``fit``), the score that
early stopping uses (``validation_score``), trees that a network is stacked on (``stacking``), and fits by several
processes (``team``).
"""
