"""
Reports: measurements of every era, the figures made from them, charts, and the page that shows both.

It imports ``judging`` and all below it. Read ``evaluate``, ``_era_measurements``, ``_figures``, ``_model_checks``,
``_error_analysis``, ``importance``, ``charts``, ``report_page``, ``chart_axes``.
"""
