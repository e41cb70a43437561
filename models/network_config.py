"""The shape of the Numerai network as a value that travels in JSON, inside the ONNX file and the manifest."""

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from models.layers import Norm, Static

MISSING_CODE = 5
"""The int8 code of a missing feature where missing is a category of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """
    Everything needed to build the network again.

    Attributes:
        features: Raw features F.
        targets: Names of the targets on the prediction axis, in order.
        engineered: Row aggregates E beside the features.
        history_channels: Historical channels, feature groups x history targets; 0 switches history off.
        lookback: Steps L of the historical axis, newest resolved era first; 0 switches history off.
        missing_category: Features may hold ``MISSING_CODE``; it gets weights of its own.
        input_offset: Subtracted from a feature's code.
        input_scale: What the difference is divided by.
        engineered_offset: Subtracted from each aggregate; empty means 0.
        engineered_scale: What each aggregate's difference is divided by; empty means 1.
        encoder: Widths of the static encoder's layers; the last one is the static width.
        hidden: Channels inside the mixer.
        feed_forward: Width inside feature mixing.
        blocks: Mixer blocks, exactly this many.
        descriptor: Learned numbers that describe each target to the mixer.
        dropout: In encoder and mixer.
        input_dropout: On features and aggregates.
        history_dropout: Share of training batches whose whole history is masked.
        z_dropout: Share of training batches whose target descriptors are masked.
        norm: See ``TSMixerExtConfig``.
        static_mixing: See ``TSMixerExtConfig``.

    Raises:
        ValueError: Sizes, shares or scales that make no network.
    """

    features: int
    targets: tuple[str, ...]
    engineered: int = 0
    history_channels: int = 0
    lookback: int = 0
    missing_category: bool = False
    input_offset: float = 2.0
    input_scale: float = 1.0
    engineered_offset: tuple[float, ...] = ()
    engineered_scale: tuple[float, ...] = ()
    encoder: tuple[int, ...] = (512, 256)
    hidden: int = 128
    feed_forward: int = 256
    blocks: int = 4
    descriptor: int = 8
    dropout: float = 0.1
    input_dropout: float = 0.2
    history_dropout: float = 0.2
    z_dropout: float = 0.0
    norm: Norm = "layer"
    static_mixing: Static = "fm"

    def __post_init__(self) -> None:
        """Refuse what makes no network."""
        if self.features < 1 or not self.targets or not self.encoder or min(self.encoder) < 1:
            raise ValueError("a network needs at least one feature, one target and one encoder width of at least 1")
        if len(set(self.targets)) != len(self.targets):
            raise ValueError(f"a target is named twice: {', '.join(self.targets)}")
        if (self.lookback > 0) != (self.history_channels > 0) or min(self.lookback, self.history_channels) < 0:
            raise ValueError(
                f"lookback {self.lookback} and history_channels {self.history_channels} must both be 0 or both be positive"
            )
        for name in ("engineered_offset", "engineered_scale"):
            if len(getattr(self, name)) not in (0, self.engineered):
                raise ValueError(f"{name} has {len(getattr(self, name))} values; expected {self.engineered} or none")
        scales = (self.input_scale, *self.engineered_scale)
        if not all(math.isfinite(scale) and scale > 0 for scale in scales):
            raise ValueError("input_scale and engineered_scale must be positive and finite")
        for name in ("dropout", "input_dropout", "history_dropout", "z_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be in [0, 1)")

    @property
    def has_history(self) -> bool:
        """Say whether the network takes a historical input."""
        return self.lookback > 0

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the names of the inputs, in the order of ``forward`` and of the ONNX graph."""
        names = ("features", "engineered" if self.engineered else "", "history" if self.has_history else "")
        return tuple(name for name in names if name)

    def to_json(self) -> dict[str, Any]:
        """Return a dict of plain JSON values; ``from_json`` gives an equal config."""
        value: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "NetworkConfig":
        """
        Return the config that ``to_json`` wrote.

        Raises:
            ValueError: A key is unknown or missing, or a value makes no network.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(value) - known):
            raise ValueError(f"unknown keys in a network config: {', '.join(unknown)}")
        if absent := sorted({"features", "targets"} - set(value)):
            raise ValueError(f"keys missing from a network config: {', '.join(absent)}")
        arguments: dict[str, Any] = {
            key: tuple(item) if isinstance(item, list) else item for key, item in value.items()
        }
        return cls(**arguments)
