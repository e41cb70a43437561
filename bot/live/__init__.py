"""
Live scores: what confirmed rounds earned, and how predictions compare with Numerai's benchmark.

It imports ``submission`` and all below it. Read ``live_scores``, ``sync``, ``benchmark_check``.
"""
