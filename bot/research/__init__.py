"""
Research: hyper-parameter search, and the experiments behind the defaults.

It imports ``judging`` and all packages below, and ``reporting.importance``. Read ``experiment``,
``momentum_experiment``, ``factor_momentum``, ``ablation_experiment``, ``interpretation``, ``tune``, ``trial_worker``.
"""
