"""Bring eras to the device: as int8, one ahead of training, and for good while its memory lasts."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

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
        era: Its name.
        known: Positions of the rows with any known target, on the host. Shape ``[k]``.
        features: int8, shape ``[n, F]``.
        engineered: float32, shape ``[n, E]``.
        targets: float32, shape ``[n, T]``.
        predictions: float32, shape ``[n, T]``.
        window: float32, shape ``[L, F, K]``.
        benchmark: float32, 0 where it is not known, shape ``[n]``.
    """

    era: str
    known: npt.NDArray[np.intp]
    features: Tensor
    engineered: Tensor | None
    targets: Tensor
    predictions: Tensor | None
    window: Tensor | None
    benchmark: Tensor | None = None

    def labels(self, positions: npt.NDArray[np.intp]) -> tuple[Tensor, Tensor | None]:
        """Return the targets of some rows, and the benchmark that is taken out of them."""
        if len(positions) == len(self.targets):
            return self.targets, self.benchmark
        index = torch.from_numpy(positions).to(self.targets.device)
        benchmark = None if self.benchmark is None else self.benchmark.index_select(0, index)
        return self.targets.index_select(0, index), benchmark

    def rows(self, positions: npt.NDArray[np.intp] | slice) -> tuple[list[Tensor | None], Tensor]:
        """Return some rows as the network takes them, and their targets; casts are the network's, on the device."""
        if isinstance(positions, slice):
            chosen = [None if part is None else part[positions] for part in self._by_row()]
        elif len(positions) == len(self.targets):
            chosen = self._by_row()
        else:
            index = torch.from_numpy(positions).to(self.targets.device)
            chosen = [None if part is None else part.index_select(0, index) for part in self._by_row()]
        features, engineered, targets, predictions = chosen
        if targets is None:
            raise ValueError("an era has no targets")
        return [features, engineered, self.window, predictions], targets

    def _by_row(self) -> list[Tensor | None]:
        return [self.features, self.engineered, self.targets, self.predictions]


class EraFeed:
    """
    The eras of a source on a device.

    Args:
        source: Where eras come from.
        device: Where they go.
        resident_bytes: Eras stay on the device until this much is used; the rest is streamed, era by era.
        inputs: Names of the network's inputs; what it does not take is not brought.
    """

    def __init__(
        self, source: EraSource, device: torch.device, *, resident_bytes: int, inputs: tuple[str, ...]
    ) -> None:
        self.eras = source.eras
        self._source, self._device, self._inputs = source, device, inputs
        self._left = resident_bytes
        self._resident: dict[int, DeviceEra] = {}

    @property
    def resident(self) -> int:
        """Return how many eras stay on the device."""
        return len(self._resident)

    def stream(self, order: Iterable[int]) -> Iterator[DeviceEra]:
        """Yield eras in *order*, preparing the next while one is in use."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="era") as pool:
            positions = iter(order)
            first = next(positions, None)
            coming = None if first is None else pool.submit(self._host, first)
            while coming is not None:
                index, batch, window = coming.result()
                following = next(positions, None)
                coming = None if following is None else pool.submit(self._host, following)
                yield self._take(index, batch, window)

    def _host(self, index: int) -> tuple[int, EraBatch | None, Tensor | None]:
        """Return what has to be brought to the device, in memory that copies fast."""
        window = self._source.window(index) if "window" in self._inputs else None
        batch = None if index in self._resident else self._source.batch(index)
        return index, batch, None if window is None else self._pinned(window)

    def _take(self, index: int, batch: EraBatch | None, window: Tensor | None) -> DeviceEra:
        moved = None if window is None else window.to(self._device, non_blocking=True)
        if batch is None:
            return replace(self._resident[index], window=moved)
        era = DeviceEra(
            era=batch.era,
            known=np.flatnonzero(np.isfinite(batch.targets).any(axis=1)),
            features=self._moved(batch.features),
            engineered=self._moved(batch.engineered)
            if "engineered" in self._inputs and batch.engineered is not None
            else None,
            targets=self._moved(batch.targets),
            predictions=self._moved(batch.predictions)
            if "predictions" in self._inputs and batch.predictions is not None
            else None,
            window=None,
            benchmark=None if batch.benchmark is None else self._moved(np.nan_to_num(batch.benchmark)),
        )
        parts = (era.features, era.engineered, era.targets, era.predictions, era.benchmark)
        size = sum(part.nbytes for part in parts if part is not None)
        if size <= self._left:
            self._left -= size
            self._resident[index] = era
        return replace(era, window=moved)

    def _moved(self, array: npt.NDArray[np.generic]) -> Tensor:
        return self._pinned(array).to(self._device, non_blocking=True)

    def _pinned(self, array: npt.NDArray[np.generic]) -> Tensor:
        if self._device.type == "cuda":
            return copied(array, pinned=True)
        # torch warns about memory it must not write to, such as a memory-mapped store's.
        return torch.from_numpy(array) if array.flags.writeable else copied(array, pinned=False)


def copied(array: npt.NDArray[np.generic], *, pinned: bool) -> Tensor:
    """Return a copy that keeps the array's order in memory, *pinned* for a device to fetch it from."""
    values = from_dlpack(array)
    by_column = values.ndim == 2 and values.stride(0) < values.stride(1)
    values = values.T if by_column else values
    copy = torch.empty(values.shape, dtype=values.dtype, pin_memory=pinned).copy_(values)
    return copy.T if by_column else copy
