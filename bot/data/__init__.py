"""
Numerai's files on disk: verified downloads, the live file, and the era store that training reads.

It imports ``features``, ``tournament`` and ``system``. Read ``download``, ``file_record``, its package ``transfer``, ``parquet_columns``,
``live_file``, ``live_column_sums``, ``era_store``, ``ingest``, ``store_views``, ``store_export``, ``reference_predictions``,
``data_facts``, ``next_version``.
"""
