"""What a training run is made of before its first step: device, memory, optimizer and learning-rate schedule."""

import torch
from torch import nn

from models.training.training_values import TrainingOptions


def device_named(name: str) -> torch.device:
    """Return the device of that name; ``auto`` takes this process's CUDA device where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else torch.device(name)


def room_for_eras(device: torch.device, share: float) -> int:
    """Return the bytes that eras may stay in; on a CPU the store is memory already."""
    return int(torch.cuda.mem_get_info(device)[0] * share) if device.type == "cuda" else 0


def optimizer(
    network: nn.Module, options: TrainingOptions, *, length: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.OneCycleLR]:
    """Return AdamW and a one-cycle schedule of *length* steps for the parameters of *network*."""
    adam = torch.optim.AdamW(_groups(network, options.weight_decay), lr=options.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        adam,
        max_lr=options.learning_rate,
        total_steps=length + 1,
        pct_start=options.warm_up,
        cycle_momentum=False,
    )
    return adam, schedule


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Return parameter groups that decay the matrices of linear layers and nothing else."""
    matrices = [part.weight for part in network.modules() if isinstance(part, nn.Linear)]
    chosen = {id(weight) for weight in matrices}
    others = [parameter for parameter in network.parameters() if id(parameter) not in chosen]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
