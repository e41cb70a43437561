from dataclasses import fields, replace

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from models.network.layers import ConditionalMixing, LayerOptions, StaticExpansion, TimeBatchNorm
from models.network.tsmixer_ext import TSMixerExt, TSMixerExtConfig

ORACLE = TSMixerExtConfig(
    lookback=24,
    horizon=6,
    historical=8,
    future=3,
    static=7,
    hidden=16,
    feed_forward=32,
    outputs=4,
    dropout=0.0,
    static_mixing="linear",
)

CONFIG_ARGUMENTS = {
    "lookback": st.integers(1, 6),
    "horizon": st.integers(1, 4),
    "historical": st.integers(0, 3),
    "future": st.integers(0, 3),
    "static": st.integers(0, 3),
    "hidden": st.integers(1, 5),
    "feed_forward": st.integers(1, 5),
    "blocks": st.integers(1, 4),
    "outputs": st.integers(1, 3),
    "dropout": st.floats(0, 0.9),
    "norm": st.sampled_from(["layer", "batch"]),
    "normalize_before": st.booleans(),
    "time_norm_before": st.booleans(),
    "static_mixing": st.sampled_from(["fm", "linear"]),
    "eps": st.floats(1e-6, 1e-2),
    "momentum": st.floats(0.01, 0.5),
}


def randomise(module, seed):
    """Give norms affine parameters and running statistics that are far from the identity."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, torch.nn.LayerNorm | torch.nn.BatchNorm1d):
                part.weight.uniform_(0.5, 1.5, generator=generator)
                part.bias.uniform_(-0.5, 0.5, generator=generator)
            if isinstance(part, torch.nn.BatchNorm1d):
                part.running_mean.uniform_(-0.5, 0.5, generator=generator)
                part.running_var.uniform_(0.5, 2.0, generator=generator)


def oracle_name(name):
    """Map a name of our state dict to pytorch-tsmixer's."""
    for ours, theirs in (
        ("temporal_projection.", "fc_hist."),
        ("head.", "fc_out."),
        ("align_historical.", "feature_mixing_hist."),
        ("align_future.", "feature_mixing_future."),
        ("blocks.", "conditional_mixer."),
        ("static.linear.", "fr_static."),
        (".mixing.", ".fm."),
    ):
        name = name.replace(ours, theirs)
    return name


def pair(norm, normalize_before, blocks):
    """Return our network and pytorch-tsmixer's with the same weights; it builds one block fewer than asked."""
    package = pytest.importorskip("torchtsmixer", reason="the oracle pytorch-tsmixer is a dev dependency")
    torch.manual_seed(3)
    ours = TSMixerExt(replace(ORACLE, norm=norm, normalize_before=normalize_before, blocks=blocks))
    randomise(ours, seed=5)
    oracle = package.TSMixerExt(
        sequence_length=24,
        prediction_length=6,
        num_blocks=blocks + 1,
        dropout_rate=0.0,
        input_channels=5,
        extra_channels=3,
        hidden_channels=16,
        static_channels=7,
        ff_dim=32,
        output_channels=4,
        normalize_before=normalize_before,
        norm_type=norm,
    )
    oracle.load_state_dict({oracle_name(name): value.clone() for name, value in ours.state_dict().items()}, strict=True)
    return ours, oracle


def inputs(config, batch=9, seed=11):
    """Return random inputs for *config*; ``None`` for an absent one."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((config.lookback, config.historical), (config.horizon, config.future), (config.static,))
    return [torch.randn(batch, *shape, generator=generator) if shape[-1] else None for shape in shapes]


GRID = [(norm, before, blocks) for norm in ("layer", "batch") for before in (False, True) for blocks in (1, 2, 4)]


@pytest.mark.parametrize(("norm", "normalize_before", "blocks"), GRID)
def test_outputs_equal_pytorch_tsmixer(norm, normalize_before, blocks):
    """In evaluation mode outputs equal the independent implementation's to 1e-6."""
    ours, oracle = pair(norm, normalize_before, blocks)
    historical, future, static = inputs(ORACLE)

    with torch.no_grad():
        mine = ours.eval()(historical, future, static)
        theirs = oracle.eval()(historical[..., :5], historical[..., 5:], future, static)

    assert (mine - theirs).abs().max() <= 1e-6


@pytest.mark.parametrize(("norm", "normalize_before", "blocks"), GRID)
def test_gradients_and_statistics_equal_pytorch_tsmixer(norm, normalize_before, blocks):
    """In training mode every gradient, and every running statistic afterwards, equals the oracle's to 1e-6."""
    ours, oracle = pair(norm, normalize_before, blocks)
    historical, future, static = inputs(ORACLE)

    ours.train()(historical, future, static).square().mean().backward()
    oracle.train()(historical[..., :5], historical[..., 5:], future, static).square().mean().backward()
    theirs = dict(oracle.named_parameters())
    buffers = dict(oracle.named_buffers())

    assert len(theirs) == len(list(ours.parameters()))
    for name, parameter in ours.named_parameters():
        assert (parameter.grad - theirs[oracle_name(name)].grad).abs().max() <= 1e-6, name
    for name, buffer in ours.named_buffers():
        assert (buffer - buffers[oracle_name(name)]).abs().max() <= 1e-6, name


def test_every_config_argument_is_drawn():
    """The property test below varies every argument there is."""
    assert set(CONFIG_ARGUMENTS) == {field.name for field in fields(TSMixerExtConfig)}


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(CONFIG_ARGUMENTS).filter(
        lambda drawn: drawn["historical"] + drawn["future"] + drawn["static"]
    )
)
def test_any_config_builds_what_it_says(drawn):
    """Blocks are counted, the output has its shape, every input and every parameter reaches it, options arrive."""
    config = TSMixerExtConfig(**drawn)
    torch.manual_seed(1)
    network = TSMixerExt(config)
    given_inputs = [None if x is None else x.requires_grad_() for x in inputs(config, batch=5)]
    kinds = {"layer": torch.nn.LayerNorm, "batch": TimeBatchNorm}

    output = network.train()(*given_inputs)
    output.square().sum().backward()
    norms = [part for part in network.modules() if isinstance(part, kinds[config.norm])]
    other = "batch" if config.norm == "layer" else "layer"

    assert output.shape == (5, config.horizon, config.outputs)
    assert torch.isfinite(output).all()
    assert len([part for part in network.modules() if isinstance(part, ConditionalMixing)]) == config.blocks
    assert all(x is None or x.grad is not None for x in given_inputs)
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert not [part for part in network.modules() if isinstance(part, kinds[other])]
    assert {norm.eps for norm in norms} == {config.eps}
    assert config.norm == "layer" or {norm.momentum for norm in norms} == {config.momentum}
    assert {part.p for part in network.modules() if isinstance(part, torch.nn.Dropout)} == {config.dropout}
    assert {block.time_mixing.norm_before for block in network.blocks} == {config.time_norm_before}
    before = {isinstance(block.feature_mixing.mixing.norm_after, torch.nn.Identity) for block in network.blocks}
    assert before == {config.normalize_before}


@pytest.mark.parametrize("normalize_before", [False, True])
@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_repeated_static_mixing_equals_mixing_the_repeated(norm, normalize_before):
    """V = FM(Expand(S)) holds literally, though post-norm mixes each row once."""
    options = LayerOptions(feed_forward=5, dropout=0.0, norm=norm, normalize_before=normalize_before)
    expansion = StaticExpansion(steps=4, static=3, outputs=6, kind="fm", options=options)
    randomise(expansion, seed=2)
    static_BS = torch.randn(7, 3, generator=torch.Generator().manual_seed(4))

    with torch.no_grad():
        mine = expansion.eval()(static_BS)
        literal = expansion.mixing(static_BS.unsqueeze(1).expand(-1, 4, -1))

    assert (mine - literal).abs().max() <= 1e-6


def test_two_by_two_example_with_static_feature_mixing():
    """One block on T = C = 2 with the paper's V equals the equations written out in numpy."""
    config = TSMixerExtConfig(lookback=2, horizon=2, historical=2, static=2, hidden=2, feed_forward=2, blocks=1)
    torch.manual_seed(8)
    network = TSMixerExt(config)
    randomise(network, seed=9)
    w = {name: value.double().numpy() for name, value in network.state_dict().items()}
    x = np.array([[1.0, -2.0], [0.5, 3.0]])  # [L, C]
    s = np.array([0.7, -1.1])

    def norm(a, name):
        return (a - a.mean()) / np.sqrt(a.var() + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def dense(a, name):
        return a @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def fm(a, name, *, shortcut):
        u = np.maximum(dense(a, f"{name}.fc1"), 0)
        return norm((dense(a, f"{name}.projection") if shortcut else a) + dense(u, f"{name}.fc2"), f"{name}.norm_after")

    def cfm(a, name):
        v = fm(np.stack([s, s]), f"{name}.static.mixing", shortcut=False)  # Expand: S at both steps; 2 -> 2 channels
        return fm(np.concatenate([a, v], axis=1), f"{name}.mixing", shortcut=True)

    projected = (w["temporal_projection.weight"] @ x) + w["temporal_projection.bias"][:, None]
    aligned = cfm(projected, "align_historical")
    time = (w["blocks.0.time_mixing.fc1.weight"] @ aligned) + w["blocks.0.time_mixing.fc1.bias"][:, None]
    mixed = norm(aligned + np.maximum(time, 0), "blocks.0.time_mixing.norm")
    expected = dense(cfm(mixed, "blocks.0.feature_mixing"), "head")
    with torch.no_grad():
        actual = network.eval()(torch.tensor(x)[None].float(), None, torch.tensor(s)[None].float())[0].numpy()

    assert np.abs(actual - expected).max() <= 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": 0}, "blocks is 0"),
        ({"horizon": 0}, "horizon is 0"),
        ({"lookback": 0}, "lookback is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"norm": "instance"}, "instance"),
        ({"historical": 0, "future": 0, "static": 0}, "at least one"),
    ],
)
def test_a_config_that_makes_no_network_is_refused(change, message):
    """The message names the argument and its value."""
    with pytest.raises(ValueError, match=message):
        replace(ORACLE, **change)


def test_inputs_that_do_not_fit_are_refused():
    """A missing, an unexpected and a misshapen input are each named."""
    network = TSMixerExt(replace(ORACLE, future=0))
    historical, _, static = inputs(ORACLE)

    with pytest.raises(ValueError, match="static input is missing"):
        network(historical, None, None)
    with pytest.raises(ValueError, match="no future channels"):
        network(historical, torch.zeros(9, 6, 3), static)
    with pytest.raises(ValueError, match=r"historical input has shape \(9, 23, 8\)"):
        network(historical[:, 1:], None, static)
