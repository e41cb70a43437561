"""
Several processes that train one network, one device each, as ``torchrun`` starts them.

A process that is lost ends the run; the next one goes on from the checkpoint.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed

Item = TypeVar("Item")


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

    def agree(self, *, flag: bool) -> bool:
        """Say whether any process says so; all get the same answer."""
        if self.size == 1:
            return flag
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        votes = torch.tensor(int(flag), device=device)
        distributed.all_reduce(votes, op=distributed.ReduceOp.MAX)
        return bool(votes.item())


@contextmanager
def team() -> Iterator[Team]:
    """Join the processes that ``torchrun`` started with this one, over NCCL where there are GPUs, else over gloo."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Team()
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Team.current()
    finally:
        distributed.destroy_process_group()
