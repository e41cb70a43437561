"""
Ridge regression: streamed normal equations, and fast prediction from a file of coefficients.

It imports nothing of ``bot`` and no training library but scipy. Read ``ridge``, ``linear_model``.
"""
