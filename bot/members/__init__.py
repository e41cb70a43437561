"""
Kinds of models that a recipe may hold.

Modules: ``command_run`` runs a person's program on one era, ``predictions_file`` reads its predictions.
"""
