"""Dropout that draws four values at once."""

import pytest
import torch

from models.network.dropout import Dropout

SHAPE = (103, 7, 131)


def drawn(module, x, *, relu=False, seed=1):
    """Return the output of *module* and the gradient of its sum times a fixed tensor."""
    torch.manual_seed(seed)
    x = x.clone().requires_grad_()
    y = module.of_relu(x) if relu else module(x)
    y.backward(torch.full_like(y, 3.0))
    return y.detach(), x.grad


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5, 0.9])
def test_values_are_dropped_with_the_given_probability(p):
    """The share of dropped values is p within its sampling error, in every fourth value alike, and the mean stays."""
    y, _ = drawn(Dropout(p), torch.ones(400_000))

    error = 5 * (p * (1 - p) / 100_000) ** 0.5
    for lane in range(4):
        assert abs(float((y[lane::4] == 0).float().mean()) - p) < error
    assert torch.allclose(y[y != 0], torch.tensor(1 / (1 - p)), rtol=1e-3)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_passes_just_where_values_do(relu, dtype):
    """Output and gradient have one mask and one scale; a ReLU before it passes only what is positive."""
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(3)).to(dtype)

    y, gradient = drawn(Dropout(0.25), x, relu=relu)

    kept = gradient != 0
    assert y.dtype == gradient.dtype == dtype
    assert torch.equal(kept, y != 0)
    assert torch.allclose(gradient[kept].float(), torch.tensor(4.0), rtol=1e-2)
    assert torch.allclose(y[kept].float(), x[kept].float() * 4 / 3, rtol=1e-2)
    assert not relu or (x[kept] > 0).all()


def test_one_seed_gives_one_mask_and_another_seed_another():
    """Masks follow torch's seed, so that an interrupted training goes on exactly."""
    x = torch.ones(SHAPE)
    module = Dropout(0.3)

    first, again, other = (drawn(module, x, seed=seed)[0] for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_strides_do_not_matter():
    """A transposed tensor, as time mixing has it, is dropped like any other."""
    x = torch.ones(64, 10, 33).transpose(1, 2)

    y, gradient = drawn(Dropout(0.4), x, relu=True)

    assert abs(float((y == 0).float().mean()) - 0.4) < 0.02
    assert torch.equal(gradient != 0, y != 0)


@pytest.mark.parametrize("module", [Dropout(0.3).eval(), Dropout(0.0)])
def test_without_dropout_values_pass(module):
    """A network that predicts, or one without dropout, passes every value."""
    x = torch.randn(SHAPE)

    assert torch.equal(drawn(module, x)[0], x)
    assert torch.equal(drawn(module, x, relu=True)[0], x.clamp_min(0))
