"""
Inference: exported networks and trees, ranks, the ensemble of members, and how models are exported.

Only ``export``, ``onnx_weights`` and ``tree_export`` need torch or onnx. Read ``exported``, ``external_data``,
``runtime``, ``reference``, ``tree_graph``, ``own_model``, ``ranks``, ``ensemble``, ``stack``, ``permutation``, ``export``,
``onnx_weights``, ``tree_export``.
"""
