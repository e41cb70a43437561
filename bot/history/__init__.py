"""
Factor history: what features have returned in resolved eras, as the network's historical input.

It imports ``data`` and all below it. Read ``feature_returns``, ``factor_history``, ``published``, ``sync``.
"""
