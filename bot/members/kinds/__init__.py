"""
Kinds of members, one module for each.

``tsmixer``, ``mlp``, ``lightgbm``, ``benchmark``, ``command``, ``linear``, ``xgboost``, ``catboost``, ``onnx``.
:mod:`bot.members.registry` lists them and defines what a kind implements.
"""
