"""
Factor history: feature returns of resolved eras, the network's historical input.

It imports ``data`` and the packages below it. Read ``factor_history``, ``feature_returns``, ``published``, ``synced``, ``sync``.
"""
