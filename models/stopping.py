"""Exceptions of a training that ends without a model, for every kind of model."""


class TrainingStopped(Exception):
    """Training stopped on request and saved its progress; the same call continues from there."""


class TrainingDiverged(ArithmeticError):
    """The loss became infinite or NaN; a lower learning rate or a smaller network may help."""
