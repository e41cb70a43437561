"""
Judging: scores on eras outside of training, leakage checks, and the decision which model becomes champion.

It imports ``training`` and all below it. Read ``challenger`` (the story of a retrain), ``arrival`` (of a
pack), ``adoption``, ``judge``, ``leakage``,
``_champion_comparison``, ``champion_test``, ``promotion``, ``looks``, ``evaluation_file``, ``numerai_diagnostics``.
"""
