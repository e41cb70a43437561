"""
Research: hyper-parameter search and the experiments behind the defaults.

It imports ``judging`` and all below it, and parts of ``reporting``. Read ``experiment``, ``experiment_results``,
``ablation_experiment``, ``momentum_experiment``, ``factor_momentum``, ``interpretation``, ``tune``, ``trial_worker``,
``search_space``.
"""
