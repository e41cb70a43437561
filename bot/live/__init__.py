"""
Live: scores and payouts of confirmed rounds, and their correlation with Numerai's benchmark.

It imports ``submission`` and packages below it. Read ``live_scores``, ``selection``, ``sync``, ``expectation``, ``benchmark_check``.
"""
