"""Copy eras to the device as int8, one ahead of training, and keep them there while its memory allows."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from models.training.era_batch import EraBatch, EraSource


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEra:
    """
    One era on the device.

    Attributes:
        era: Name of the era.
        known: Positions of the rows with a known target, on the host. Shape ``[k]``.
        features: Codes. Shape ``[n, F]``, int8.
        engineered: Row aggregates. Shape ``[n, E]``, float32.
        targets: Targets, NaN where unknown. Shape ``[n, T]``, float32.
        predictions: Another model's predictions. Shape ``[n, T]``, float32.
        window: Feature returns. Shape ``[L, F, K]``, float32.
        benchmark: Benchmark predictions, NaN where unknown. Shape ``[n]``, float32.
        weight: Weight in the loss.
    """

    era: str
    known: npt.NDArray[np.intp]
    features: Tensor
    engineered: Tensor | None
    targets: Tensor
    predictions: Tensor | None
    window: Tensor | None
    benchmark: Tensor | None = None
    weight: float = 1.0

    def labels(self, positions: npt.NDArray[np.intp]) -> "Labels":
        """Return the targets and the benchmark predictions of some rows."""
        if len(positions) == len(self.targets):
            return Labels(self.targets, self.benchmark)
        index = torch.from_numpy(positions).to(self.targets.device)
        benchmark = None if self.benchmark is None else self.benchmark.index_select(0, index)
        return Labels(self.targets.index_select(0, index), benchmark)

    def inputs(self, positions: npt.NDArray[np.intp] | slice) -> list[Tensor | None]:
        """Return the network's inputs for some rows: features, engineered columns, window and predictions."""
        by_row = [self.features, self.engineered, self.predictions]
        if isinstance(positions, slice):
            by_row = [None if part is None else part[positions] for part in by_row]
        elif len(positions) != len(self.targets):
            index = torch.from_numpy(positions).to(self.targets.device)
            by_row = [None if part is None else part.index_select(0, index) for part in by_row]
        features, engineered, predictions = by_row
        return [features, engineered, self.window, predictions]


class Labels(NamedTuple):
    """Targets ``[n, T]`` and benchmark predictions ``[n]`` of some rows."""

    targets: Tensor
    benchmark: Tensor | None


@dataclass(frozen=True, slots=True)
class _HostEra:
    """An era in memory from which copies to the device are fast; no batch if the era is on the device already."""

    index: int
    batch: EraBatch | None
    window: Tensor | None


class EraFeed:
    """
    The eras of a source on a device.

    Args:
        source: Source of the eras.
        device: Device to copy them to.
        resident_bytes: Bytes of the device for eras that stay there. Other eras are copied each time.
        inputs: Names of the network's inputs. Other arrays are not copied.
        residual: Whether labels are residuals of the benchmark: a target is unknown in rows without it.
    """

    def __init__(
        self,
        source: EraSource,
        device: torch.device,
        *,
        resident_bytes: int,
        inputs: tuple[str, ...],
        residual: bool = False,
    ) -> None:
        self.eras = source.eras
        self._source, self._device, self._inputs, self._residual = source, device, inputs, residual
        self._left = resident_bytes
        self._resident: dict[int, DeviceEra] = {}

    @property
    def resident(self) -> int:
        """Return the number of eras that stay on the device."""
        return len(self._resident)

    def stream(self, order: Iterable[int]) -> Iterator[DeviceEra]:
        """Yield eras in *order*, and prepare the next one while an era is in use."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="era") as pool:
            positions = iter(order)
            first = next(positions, None)
            coming = None if first is None else pool.submit(self._host, first)
            while coming is not None:
                ready = coming.result()
                following = next(positions, None)
                coming = None if following is None else pool.submit(self._host, following)
                yield self._take(ready)

    def _host(self, index: int) -> _HostEra:
        """Read an era into memory from which copies to the device are fast."""
        window = self._source.window(index) if "window" in self._inputs else None
        batch = None if index in self._resident else self._source.batch(index)
        return _HostEra(index, batch, None if window is None else self._pinned(window))

    def _take(self, ready: _HostEra) -> DeviceEra:
        index, batch, window = ready.index, ready.batch, ready.window
        moved = None if window is None else window.to(self._device, non_blocking=True)
        if batch is None:
            return replace(self._resident[index], window=moved)
        targets = self._targets(batch)
        era = DeviceEra(
            era=batch.era,
            known=np.flatnonzero(np.isfinite(targets).any(axis=1)),
            features=self._moved(batch.features),
            engineered=self._moved(batch.engineered)
            if "engineered" in self._inputs and batch.engineered is not None
            else None,
            targets=self._moved(targets),
            predictions=self._moved(batch.predictions)
            if "predictions" in self._inputs and batch.predictions is not None
            else None,
            window=None,
            benchmark=None if batch.benchmark is None else self._moved(batch.benchmark),
            weight=batch.weight,
        )
        parts = (era.features, era.engineered, era.targets, era.predictions, era.benchmark)
        size = sum(part.nbytes for part in parts if part is not None)
        if size <= self._left:
            self._left -= size
            self._resident[index] = era
        return replace(era, window=moved)

    def _targets(self, batch: EraBatch) -> npt.NDArray[np.float32]:
        """
        Return the targets of an era, NaN where the labels are not known.

        Raises:
            ValueError: Labels are residuals, and the era has no benchmark.
        """
        if not self._residual:
            return batch.targets
        if batch.benchmark is None:
            raise ValueError(f"era {batch.era} has no benchmark predictions for residual labels; leave it out")
        return np.where(np.isfinite(batch.benchmark)[:, None], batch.targets, np.float32(np.nan))

    def _moved(self, array: npt.NDArray[np.generic]) -> Tensor:
        return self._pinned(array).to(self._device, non_blocking=True)

    def _pinned(self, array: npt.NDArray[np.generic]) -> Tensor:
        if self._device.type == "cuda":
            return copied(array, pinned=True)
        # torch warns about memory that it must not write to, such as that of a memory-mapped store.
        return torch.from_numpy(array) if array.flags.writeable else copied(array, pinned=False)


def copied(array: npt.NDArray[np.generic], *, pinned: bool) -> Tensor:
    """Return a copy with the array's order in memory; *pinned* memory is copied to a device faster."""
    values = from_dlpack(array)
    by_column = values.ndim == 2 and values.stride(0) < values.stride(1)
    values = values.T if by_column else values
    copy = torch.empty(values.shape, dtype=values.dtype, pin_memory=pinned).copy_(values)
    return copy.T if by_column else copy
