"""
Judging: scores on eras that training has not seen, leakage checks, and what becomes champion.

It imports ``training`` and all below it. Read ``challenger`` (the story of a retrain), ``judge``, ``leakage``,
``_champion_comparison``, ``promotion``, ``evaluation_file``, ``numerai_diagnostics``.
"""
