"""
Train one network in several processes that ``torchrun`` starts, one device each.

If a process is lost, the run ends; the next run continues from the checkpoint. torch takes two seconds to import; a process
that was started alone imports it when it fits a network, and not where it takes all fits from before.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

Item = TypeVar("Item")

PATIENCE = timedelta(days=1)
"""Longest wait for other processes: the first one may grow trees for hours before it has work for all."""


class ProcessLost(Exception):
    """Another process of the team ended or cannot be reached; the run cannot continue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """
    The processes that train together.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "Team":
        """Return the team of this process; a team of one if it was started alone."""
        from torch import distributed  # noqa: PLC0415

        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(rank=distributed.get_rank(), size=distributed.get_world_size())

    @property
    def leads(self) -> bool:
        """Return whether this process writes files and reports."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return this process's share of the items."""
        return items[self.rank :: self.size]

    def gather(self, value: Item) -> list[Item]:
        """Return the values of all processes, in the order of ranks."""
        if self.size == 1:
            return [value]
        from torch import distributed  # noqa: PLC0415

        parts: list[Item | None] = [None] * self.size
        distributed.all_gather_object(parts, value)
        return [part for part in parts if part is not None]

    def tell(self, value: Item) -> Item:
        """Return the leading process's value in every process."""
        if self.size == 1:
            return value
        from torch import distributed  # noqa: PLC0415

        held = [value]
        distributed.broadcast_object_list(held, src=0)
        return held[0]

    def agree(self, *, flag: bool) -> bool:
        """Return in every process whether *flag* is set in any of them."""
        if self.size == 1:
            return flag
        import torch  # noqa: PLC0415
        from torch import distributed  # noqa: PLC0415

        votes = torch.tensor(int(flag))
        distributed.all_reduce(votes, op=distributed.ReduceOp.MAX)
        return bool(votes.item())


@contextmanager
def team() -> Iterator[Team]:
    """
    Join the processes that ``torchrun`` started with this one.

    Gradients on GPUs are sent by NCCL. Everything else is sent by gloo, which leaves a GPU idle while its process waits.

    Raises:
        ProcessLost: Another process ended.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team()
        return
    import torch  # noqa: PLC0415
    from torch import distributed  # noqa: PLC0415

    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
        yield Team.current()
    except RuntimeError as error:
        # A closed connection raises a plain RuntimeError that names a source file of gloo.
        if isinstance(error, distributed.DistError) or "gloo/" in str(error):
            raise ProcessLost(
                f"process {os.environ['RANK']} of {size} lost another one, whose own message says why"
            ) from error
        raise
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
