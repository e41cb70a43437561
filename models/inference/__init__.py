"""
Inference: exported networks, ranks, the ensemble of members, and how a network is exported.

Only ``export`` and ``onnx_weights`` need torch or onnx. Read ``exported``, ``external_data``, ``runtime``,
``reference``, ``ranks``, ``ensemble``, ``stack``, ``permutation``, ``export``, ``onnx_weights``.
"""
