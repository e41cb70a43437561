"""
Reports: measurements of every era, the figures made from them, charts, and the page that shows both.

It imports ``judging`` and all below it. Read ``evaluate``, ``era_measurements``, ``figures``, ``model_checks``,
``error_analysis``, ``importance``, ``charts``, ``report_page``.
"""
