"""
Inference: exported networks, ranks, the ensemble of members, and how a network is exported.

Only ``export``, ``onnx_weights`` and ``seed_views`` need torch or onnx. Read ``exported``, ``runtime``,
``reference``, ``ranks``, ``ensemble``, ``stack``, ``permutation``, ``export``, ``onnx_weights``, ``seed_views``.
"""
