"""The exception of a training that stops on request, for every kind of model."""


class TrainingStopped(Exception):
    """Training stopped on request and saved its progress; the same call continues from there."""
