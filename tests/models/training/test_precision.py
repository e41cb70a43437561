"""The precision of matrix products that ``auto`` chooses."""

from dataclasses import replace

import pytest
import torch

from models.network.network_config import NetworkConfig
from models.training import _precision

WIDE = NetworkConfig(features=6, targets=("target_ender_20",), mixing="row", hidden=64)
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("gain", "config", "chosen"),
    [
        (2.0, WIDE, True),
        (0.13, WIDE, False),
        (1.0, WIDE, False),
        (2.0, replace(WIDE, hidden=32), False),
        (2.0, replace(WIDE, mixing="none"), False),
    ],
    ids=["faster", "emulated", "equal", "narrow", "perceptron"],
)
def test_auto_takes_bfloat16_on_a_cpu_only_where_it_pays(monkeypatch, gain, config, chosen):
    """On a CPU, wide row mixers are trained in bfloat16 where products are measured to be clearly faster in it."""
    monkeypatch.setattr(_precision, "product_gain", lambda: gain)

    assert _precision.uses_bfloat16("auto", config, CPU) is chosen


@pytest.mark.parametrize("native", [False, True])
def test_auto_asks_a_gpu_whether_it_computes_in_bfloat16(monkeypatch, native):
    """A GPU that only emulates bfloat16 computes in float32."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: native or including_emulation)

    assert _precision.uses_bfloat16("auto", WIDE, torch.device("cuda")) is native


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("gain", [0.13, 2.0])
def test_a_named_precision_is_taken_whatever_it_costs(monkeypatch, precision, gain):
    """A recipe that names the precision gets it on every machine."""
    monkeypatch.setattr(_precision, "product_gain", lambda: gain)

    assert _precision.uses_bfloat16(precision, WIDE, CPU) is (precision == "bfloat16")


def test_this_machine_is_measured():
    """The ratio is that of products on this CPU, and is measured once."""
    assert 0.01 < _precision.product_gain() < 100
    assert _precision.product_gain() == _precision.product_gain()
