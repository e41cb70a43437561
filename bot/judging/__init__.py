"""
Judging: scores on eras outside of training, leakage checks, and the decision which model becomes champion.

It imports ``training`` and all below it. Read ``challenger`` (the story of a retrain), ``judge``, ``leakage``,
``_champion_comparison``, ``promotion``, ``evaluation_file``, ``numerai_diagnostics``.
"""
