"""
Research: comparisons of recipes, hyper-parameter search, and the experiments behind the defaults.

It imports ``judging`` and all packages below, and ``reporting.importance``. Read ``experiment``, ``fold_fit``,
``recipe_comparison``, ``momentum_experiment``, ``factor_momentum``, ``ablation``, ``interpretation``, ``tune``,
``search_space``, ``trial_worker``, ``trial_results``, ``kept_comparisons``.
"""
