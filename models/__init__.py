"""
Model definitions, training, export and runtime: code only; trained weights live in the state directory.

Nothing here imports ``bot``, and nothing that serves a round imports torch.
"""
