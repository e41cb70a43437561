"""
Live: scores and payouts of confirmed rounds, their correlation with Numerai's benchmark, and slots that Numerai runs.

It imports ``submission`` and packages below it. Read ``live_scores``, ``selection``, ``sync``, ``expectation``,
``benchmark_check``, ``hosted_slots``.
"""
