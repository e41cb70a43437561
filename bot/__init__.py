"""A Numerai tournament bot that never misses a round and never uploads a wrong file."""

__version__ = "0.1.0"
