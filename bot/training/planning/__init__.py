"""
Planning: what a retrain will take on this machine, before it begins and while it runs.

It imports what ``training`` may import. Read ``retrain_forecast``, ``retrain_plan``, ``time_estimate``, ``machine_times``.
"""
