"""
Members: the models of a recipe, of any kind.

A recipe lists members (``member``); ``limits`` are the ranges of their numbers, ``search`` the choices that `bot tune`
has. A kind (``registry``) fits a member on eras (``fitting``) and loads it again to score rows (``rows``); the package
``kinds`` has one module for each kind, ``network`` the parts of networks, ``tree_fit`` the fit of LightGBM, ``graphs`` the
kinds of trees that other libraries train, ``pace`` the measurements of their speed, ``outputs`` the model with several
outputs. ``stored`` reads the members of an artifact, ``kept_scores`` keeps what they scored. The package ``program`` runs a person's
own program.
"""
