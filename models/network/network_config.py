"""The configuration of the Numerai network, stored as JSON in the ONNX file and the manifest."""

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from models.bins import MIDDLE_BIN, TARGET_SHARES, TARGET_VALUES
from models.network.layers import Norm, Static

Mixing = Literal["row", "era", "none", "mlp"]

Head = Literal["classes", "score"]

WITHOUT_HISTORY = ("none", "mlp")
"""Bodies that take no history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """
    Everything that is needed to build the network.

    Attributes:
        features: Raw features F.
        targets: Names of the targets on the prediction axis, in order.
        engineered: Row aggregates E beside the features.
        mixing: Kind of the body; see ``models.network.network``. ``row`` mixes the history of every row, ``era`` mixes the
            history of the era once and conditions the rows on it, ``none`` is a perceptron of the row's features with
            residual blocks, ``mlp`` one without them.
        head: Outputs of each target: ``classes`` gives the logits of the five classes, ``score`` one number that only
            ranks rows.
        lookback: Steps L of the historical axis, newest resolved era first; 0 switches history off.
        groups: Positions of the features of each group; one historical channel per group and history target.
        history_targets: Number of targets whose realised feature returns are the history.
        history_scale: Factor that brings the historical channels to unit size.
        stacked: Whether another model's predictions of each target are an input.
        missing_category: Whether features may hold ``MISSING_CATEGORY``, which has weights of its own.
        input_offset: Offset subtracted from a feature's code.
        input_scale: Divisor of the difference.
        engineered_offset: Offset subtracted from each aggregate; empty means 0.
        engineered_scale: Divisor of each aggregate's difference; empty means 1.
        encoder: Widths of the static encoder's layers; the last one is the static width.
        hidden: Channels inside the mixer.
        feed_forward: Width inside feature mixing.
        blocks: Mixer blocks, exactly this many.
        descriptor: Width of the learned descriptor of each target.
        dropout: Dropout in encoder and mixer.
        input_dropout: Dropout of features and aggregates.
        history_dropout: Share of training eras whose whole history is masked.
        z_dropout: Share of training eras whose stacked predictions are masked.
        norm: See ``TSMixerExtConfig``.
        static_mixing: See ``TSMixerExtConfig``.
        class_prior: Share of each class among the labels, the starting point of training; the same for all targets.

    Raises:
        ValueError: A size, share or scale is out of range, or two do not fit together.
    """

    features: int
    targets: tuple[str, ...]
    engineered: int = 0
    mixing: Mixing = "row"
    head: Head = "classes"
    lookback: int = 0
    groups: tuple[tuple[int, ...], ...] = ()
    history_targets: int = 0
    history_scale: float = 1.0
    stacked: bool = False
    missing_category: bool = False
    input_offset: float = float(MIDDLE_BIN)
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
    class_prior: tuple[float, ...] = TARGET_SHARES

    def __post_init__(self) -> None:
        """Check all sizes, shares and scales."""
        if self.features < 1 or not self.targets or not self.encoder or min(self.encoder) < 1:
            raise ValueError("a network needs at least one feature, one target and one encoder width of at least 1")
        if len(set(self.targets)) != len(self.targets):
            raise ValueError(f"a target is named twice: {', '.join(self.targets)}")
        if len(self.class_prior) != len(TARGET_VALUES) or min(self.class_prior) <= 0:
            raise ValueError(f"class_prior is {self.class_prior}; expected {len(TARGET_VALUES)} positive shares")
        if self.head not in get_args(Head):
            raise ValueError(f"head {self.head!r} is unknown; known: {', '.join(get_args(Head))}")
        self._check_history()
        for name in ("engineered_offset", "engineered_scale"):
            if len(getattr(self, name)) not in (0, self.engineered):
                raise ValueError(f"{name} has {len(getattr(self, name))} values; expected {self.engineered} or none")
        scales = (self.input_scale, *self.engineered_scale)
        if not all(math.isfinite(scale) and scale > 0 for scale in scales):
            raise ValueError("input_scale and engineered_scale must be positive and finite")
        for name in ("dropout", "input_dropout", "history_dropout", "z_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be in [0, 1)")

    def _check_history(self) -> None:
        parts = (self.lookback, len(self.groups), self.history_targets)
        if len({part > 0 for part in parts}) != 1 or min(parts) < 0:
            raise ValueError(
                "lookback {}, groups {} and history_targets {} must all be 0 or all be positive".format(*parts)
            )
        if any(not group or min(group) < 0 or max(group) >= self.features for group in self.groups):
            raise ValueError(f"a group must hold positions of the {self.features} features")
        if self.mixing not in get_args(Mixing):
            raise ValueError(f"mixing {self.mixing!r} is unknown; known: {', '.join(get_args(Mixing))}")
        if (self.mixing == "era") > self.has_history or (self.mixing in WITHOUT_HISTORY and self.has_history):
            raise ValueError(
                f"mixing {self.mixing!r} with lookback {self.lookback}: era needs a history, none and mlp must have none"
            )

    @property
    def outputs(self) -> int:
        """Return the outputs K of each target."""
        return len(TARGET_VALUES) if self.head == "classes" else 1

    @property
    def history_channels(self) -> int:
        """Return the historical channels C: feature groups x history targets, targets fastest."""
        return len(self.groups) * self.history_targets

    @property
    def has_history(self) -> bool:
        """Return whether the network takes a historical input."""
        return self.lookback > 0

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the names of the inputs, in the order of ``forward`` and of the ONNX graph."""
        present = {
            "features": True,
            "engineered": self.engineered > 0,
            "window": self.has_history,
            "predictions": self.stacked,
        }
        return tuple(name for name, there in present.items() if there)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an input without its first axis, the rows; ``window`` has no rows."""
        return {
            "features": (self.features,),
            "engineered": (self.engineered,),
            "window": (self.lookback, self.features, self.history_targets),
            "predictions": (len(self.targets),),
        }[name]

    def to_json(self) -> dict[str, Any]:
        """Return a dict of plain JSON values; ``from_json`` gives an equal config."""
        value: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "NetworkConfig":
        """
        Return the config that ``to_json`` wrote.

        Raises:
            ValueError: A key is unknown or missing, or a value is out of range.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(value) - known):
            raise ValueError(f"unknown keys in a network config: {', '.join(unknown)}")
        if absent := sorted({"features", "targets"} - set(value)):
            raise ValueError(f"keys missing from a network config: {', '.join(absent)}")
        arguments: dict[str, Any] = {
            key: _tuples(item) if isinstance(item, list) else item for key, item in value.items()
        }
        return cls(**arguments)


def _tuples(value: list[Any]) -> tuple[Any, ...]:
    """Return a list of lists as a tuple of tuples."""
    return tuple(_tuples(item) if isinstance(item, list) else item for item in value)
