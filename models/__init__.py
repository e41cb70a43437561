"""
Model definitions, training, export and runtime: code only; trained weights live in the state directory.

Nothing here imports ``bot``, and nothing that serves a round imports torch.
"""

import os

# onnxruntime reports what it runs to its makers unless this is set before it is imported; nobody asked our users.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
