"""
Content: what each page shows, read from ledger, artifacts and reports; :mod:`bot.web.pages` renders it.

Read ``now``, ``live_record``, ``round_slots``, ``timeline``, ``models``, ``comparison``, ``artifact_files``, ``marks``.
"""
