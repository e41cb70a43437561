"""
Several processes that train one network, one device each, as ``torchrun`` starts them.

A process that is lost ends the run; the next one goes on from the checkpoint.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

Item = TypeVar("Item")

PATIENCE = timedelta(days=1)
"""For how long a process waits for the others: one may grow trees for hours before it has work for all of them."""


class ProcessLost(Exception):
    """Another process of the team ended or cannot be reached; nothing goes on without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """
    The processes that train together.

    Attributes:
        rank: This process.
        size: All of them.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "Team":
        """Return the team this process is in, which may be itself alone."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(rank=distributed.get_rank(), size=distributed.get_world_size())

    @property
    def leads(self) -> bool:
        """Say whether this is the process that writes."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return this process's part of the work."""
        return items[self.rank :: self.size]

    def gather(self, value: Item) -> list[Item]:
        """Return what every process has, in the order of ranks."""
        if self.size == 1:
            return [value]
        parts: list[Item | None] = [None] * self.size
        distributed.all_gather_object(parts, value)
        return [part for part in parts if part is not None]

    def tell(self, value: Item) -> Item:
        """Return what the process that leads calls this with; the others wait for it."""
        if self.size == 1:
            return value
        held = [value]
        distributed.broadcast_object_list(held, src=0)
        return held[0]

    def agree(self, *, flag: bool) -> bool:
        """Say whether any process says so; all get the same answer."""
        if self.size == 1:
            return flag
        votes = torch.tensor(int(flag))
        distributed.all_reduce(votes, op=distributed.ReduceOp.MAX)
        return bool(votes.item())


@contextmanager
def team() -> Iterator[Team]:
    """
    Join the processes that ``torchrun`` started with this one.

    Gradients on GPUs go over NCCL; everything else goes over gloo, which leaves a GPU idle while its process waits.

    Raises:
        ProcessLost: Another process has gone.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team()
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
        yield Team.current()
    except RuntimeError as error:
        # A closed connection comes as a bare RuntimeError that names the file of gloo it was noticed in.
        if isinstance(error, distributed.DistError) or "gloo/" in str(error):
            raise ProcessLost(
                f"process {os.environ['RANK']} of {size} lost another one, whose own message says why"
            ) from error
        raise
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
