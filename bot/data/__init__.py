"""
Numerai's files on disk: verified downloads, the live file, and the era store that training reads.

It imports ``features``, ``tournament`` and ``system``. Read ``download``, ``live_file``, ``ingest``, ``era_store``,
``reference_predictions``, ``data_facts``, ``data_version``, ``next_version``, ``block_file``, ``era_store_manifest``,
``resumable``.
"""
