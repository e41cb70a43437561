"""
Reports: evaluation of an artifact era by era, its figures, its charts, and the pages that show them.

It imports ``judging`` and all packages below. Read ``evaluate``, ``_era_measurements``, ``_figures``, ``_model_checks``,
``_error_analysis``, ``importance``, ``report_page``, ``comparison_page``, ``charts``, ``chart_axes``.
"""
