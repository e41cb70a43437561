"""What a training that was asked to stop ends with, whichever kind of model it trains."""


class TrainingStopped(Exception):
    """Training was asked to stop and saved where it was; the same call goes on from there."""
