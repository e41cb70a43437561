"""
Program: a person's own program, packed, run on one era below a supervisor, and its predictions.

It imports what ``members`` may import. Read ``bounded_run``, ``command_run``, ``program_files``, ``predictions_file``.
"""
