"""Choose the precision of matrix products by what the device computes faster."""

import time
from functools import cache

import torch

from models.network.network_config import NetworkConfig

GAIN = 1.35
"""Least gain of a product for which ``auto`` takes bfloat16 on a CPU: processors with such instructions reach 1.9 to 2.2, and
others, which emulate them, .13. So a machine chooses the same every time."""

HIDDEN = 64
"""Least width of a row mixer that ``auto`` trains in bfloat16 on a CPU.

Such a mixer spends its time in products: the standard recipe's trains 1.5 times faster where products are twice as fast. A
mixer of half the width gains 5 %, and bodies without products for each target gain or lose 15 %, as conversions cost as much.
"""

SIDE, RUNS = 256, 5
"""Side of a measured product, and runs of which the fastest counts."""


def uses_bfloat16(precision: str, config: NetworkConfig, device: torch.device) -> bool:
    """
    Return whether matrix products are computed in bfloat16.

    Args:
        precision: ``float32``, ``bfloat16`` or ``auto``. The last one takes bfloat16 on a CUDA device that computes in it, and
            for wide row mixers on a CPU whose products are measured to be faster.
        config: Configuration of the network.
        device: Its device.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    wide = config.mixing == "row" and config.hidden >= HIDDEN
    return wide and device.type == "cpu" and product_gain() >= GAIN


@cache
def product_gain() -> float:
    """Return how many times faster this CPU multiplies matrices in bfloat16 than in float32, by CPU time."""
    spent = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    sides = {dtype: torch.ones(SIDE, SIDE, dtype=dtype) for dtype in spent}
    for _ in range(RUNS):
        for dtype, side in sides.items():
            began = time.process_time()
            torch.mm(side, side)
            spent[dtype] = min(spent[dtype], time.process_time() - began)
    return spent[torch.float32] / max(spent[torch.bfloat16], 1e-9)
