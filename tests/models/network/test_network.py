import json
from dataclasses import fields, replace

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from models.bins import CORR_VALUES, MISSING_CATEGORY, TARGET_SHARES, TARGET_VALUES
from models.inference.export import random_inputs
from models.network.network import Network, expected_value, exponential_averages
from models.network.network_config import WITHOUT_HISTORY, NetworkConfig
from models.training._losses import cross_entropy

TARGETS = ("target_ender_20", "target_ender_60", "target_jasper_60")
CONFIG = NetworkConfig(
    features=7,
    engineered=2,
    targets=TARGETS,
    lookback=5,
    groups=((0, 1, 2), (2, 3, 4, 5, 6)),
    history_targets=2,
    history_scale=50.0,
    encoder=(6, 5),
    hidden=8,
    feed_forward=9,
    blocks=2,
    engineered_offset=(1.0, -2.0),
    engineered_scale=(2.0, 0.5),
)

CONFIG_ARGUMENTS = {
    "features": st.integers(1, 5),
    "targets": st.permutations(TARGETS).flatmap(lambda names: st.integers(1, 3).map(lambda n: tuple(names[:n]))),
    "engineered": st.just(2),
    "mixing": st.sampled_from(["row", "era", "none", "mlp"]),
    "head": st.sampled_from(["classes", "score"]),
    "lookback": st.integers(1, 4),
    "groups": st.just(((0,),)),
    "history_targets": st.integers(1, 3),
    "history_scale": st.floats(1, 50),
    "stacked": st.booleans(),
    "missing_category": st.booleans(),
    "input_offset": st.floats(0, 3),
    "input_scale": st.floats(0.5, 2),
    "engineered_offset": st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    "engineered_scale": st.tuples(st.floats(0.5, 2), st.floats(0.5, 2)),
    "encoder": st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    "hidden": st.integers(1, 4),
    "feed_forward": st.integers(1, 4),
    "blocks": st.integers(1, 3),
    "descriptor": st.integers(1, 3),
    "dropout": st.floats(0, 0.5),
    "input_dropout": st.floats(0, 0.5),
    "history_dropout": st.floats(0, 0.5),
    "z_dropout": st.floats(0, 0.5),
    "norm": st.sampled_from(["layer", "batch"]),
    "static_mixing": st.sampled_from(["fm", "linear"]),
    "class_prior": st.sampled_from([(0.05, 0.2, 0.5, 0.2, 0.05), (0.1, 0.2, 0.3, 0.25, 0.15)]),
}
ALL_INPUTS = ("features", "engineered", "window", "predictions")


def network(config=CONFIG, seed=1):
    torch.manual_seed(seed)
    return Network(config).eval()


def score(net, *inputs):
    with torch.no_grad():
        return net(*inputs)


def test_every_config_argument_is_drawn():
    """The property test below varies every argument there is."""
    assert set(CONFIG_ARGUMENTS) == {field.name for field in fields(NetworkConfig)}


@settings(max_examples=40, deadline=None)
@given(st.fixed_dictionaries(CONFIG_ARGUMENTS), st.booleans(), st.booleans())
def test_any_config_travels_in_json_and_scores(drawn, with_history, with_engineered):
    """JSON gives an equal config back, and its network gives logits of every target for every row."""
    if not with_history or drawn["mixing"] in WITHOUT_HISTORY:
        drawn |= {"groups": (), "history_targets": 0, "lookback": 0}
        drawn["mixing"] = "none" if drawn["mixing"] == "era" else drawn["mixing"]
    if not with_engineered:
        drawn |= {"engineered": 0, "engineered_offset": (), "engineered_scale": ()}
    config = NetworkConfig(**drawn)

    again = NetworkConfig.from_json(json.loads(json.dumps(config.to_json())))
    inputs = random_inputs(config, 4, seed=0)
    logits = network(again).train()(*(inputs.get(name) for name in ALL_INPUTS))

    assert again == config
    assert config.inputs == tuple(inputs)
    assert logits.shape == (4, len(config.targets), 5 if config.head == "classes" else 1)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": ()}, "at least one feature, one target"),
        ({"targets": ("target_ender_20", "target_ender_20")}, "named twice"),
        ({"lookback": 0}, "all be 0"),
        ({"groups": ((0, 7),)}, "positions of the 7 features"),
        ({"head": "bins"}, "head 'bins' is unknown; known: classes, score"),
        ({"mixing": "none"}, "none and mlp must have none"),
        ({"mixing": "mlp"}, "none and mlp must have none"),
        ({"engineered_scale": (1.0,)}, "1 values; expected 2"),
        ({"engineered_scale": (1.0, 0.0)}, "positive and finite"),
        ({"history_dropout": 1.0}, "history_dropout is 1.0"),
        ({"class_prior": (0.5, 0.5)}, "expected 5 positive shares"),
        ({"blocks": 0}, "blocks is 0"),
    ],
)
def test_a_config_that_makes_no_network_is_refused(change, message):
    """The message names what is wrong."""
    with pytest.raises(ValueError, match=message):
        Network(replace(CONFIG, **change))


@pytest.mark.parametrize(
    ("value", "message"),
    [({"features": 1, "targets": ["a"], "layers": 2}, "unknown keys.*layers"), ({"features": 1}, "missing.*targets")],
)
def test_json_with_unknown_or_missing_keys_is_refused(value, message):
    """A config of another version is not read as something it is not."""
    with pytest.raises(ValueError, match=message):
        NetworkConfig.from_json(value)


def test_a_fresh_network_predicts_about_the_class_prior():
    """Training starts at the entropy of the targets, 1.29 nats, not at noise around it."""
    inputs = random_inputs(CONFIG, 400, seed=2)
    classes = np.random.default_rng(0).choice(5, size=(400, 3), p=TARGET_SHARES)
    targets = torch.from_numpy(np.array(TARGET_VALUES, dtype=np.float32)[classes])

    logits = score(network(), *inputs.values())

    assert abs(logits.softmax(-1).mean(dim=(0, 1)) - torch.tensor(TARGET_SHARES)).max() < 0.03
    assert float(cross_entropy(logits, targets)) == pytest.approx(1.29, abs=0.06)


def test_no_history_is_the_same_as_zeros():
    """Leaving the history out masks it."""
    features, engineered, window = random_inputs(CONFIG, 6, seed=3).values()
    net = network()

    masked = score(net, features, engineered, None)

    assert torch.equal(masked, score(net, features, engineered, torch.zeros_like(window)))
    assert not torch.equal(masked, score(net, features, engineered, window))


def textbook_history(features, window):
    """Return channel (group, target) of every row and step as the sum that models.network.factor_history writes down."""
    centred = np.where(features.numpy() == MISSING_CATEGORY, 2, features.numpy()) - 2.0
    channels = [
        CONFIG.history_scale / len(group) ** 0.5 * centred[:, group] @ window.numpy()[:, group, target].T
        for group in CONFIG.groups
        for target in range(CONFIG.history_targets)
    ]
    return torch.from_numpy(np.stack(channels, axis=-1).astype(np.float32))


@pytest.mark.parametrize("missing_category", [False, True])
def test_projecting_the_window_equals_mixing_every_rows_own_history(missing_category):
    """The network that never makes a row's history scores as the textbook form that does."""
    net = network(replace(CONFIG, missing_category=missing_category))
    features, engineered, window = random_inputs(net.config, 40, seed=9).values()
    history = textbook_history(features, window)

    with torch.no_grad():
        expected = net.from_history(features, engineered, history)
        made = net.history.scores(net._centred(features)[0], window)

    assert torch.allclose(made, history, rtol=1e-4, atol=1e-4)
    assert torch.allclose(score(net, features, engineered, window), expected, rtol=1e-4, atol=1e-5)


def test_an_era_conditioned_network_starts_as_a_perceptron():
    """Its modulation starts at nothing, and a step of training makes the window matter."""
    net = network(replace(CONFIG, mixing="era"))
    features, engineered, window = random_inputs(net.config, 20, seed=10).values()
    before = score(net, features, engineered, window)

    with torch.no_grad():
        net.mixer.modulation.weight.normal_(std=0.1)

    assert torch.equal(before, score(network(replace(CONFIG, mixing="era")), features, engineered, None))
    assert not torch.allclose(score(net, features, engineered, window), score(net, features, engineered, None))


@pytest.mark.parametrize("mixing", ["row", "era", "mlp"])
def test_a_single_output_is_not_computed_in_half_precision(mixing):
    """Under autocast to bfloat16 the scores of rows stay apart; the score is the head's output."""
    without = {"lookback": 0, "groups": (), "history_targets": 0} if mixing in WITHOUT_HISTORY else {}
    config = replace(CONFIG, mixing=mixing, head="score", **without)
    net, inputs = network(config), random_inputs(config, 400, seed=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = score(net, *(inputs.get(name) for name in ALL_INPUTS))

    assert scores.shape == (400, len(config.targets), 1)
    assert scores[:, 0].unique().numel() > 350
    assert torch.equal(expected_value(scores, CORR_VALUES), scores[..., 0])
    assert not net.mixer.head.bias.any()


def test_plain_perceptron_is_encoder_and_head():
    """``mlp`` equals its linear layers with ReLU between them, on features centred on the middle bin."""
    config = NetworkConfig(features=4, targets=("target_ender_20", "target_ender_60"), mixing="mlp", encoder=(8, 6, 5))
    net = network(config)
    weights = dict(net.named_parameters())
    x = torch.tensor([[0, 1, 2, 4], [3, 3, 0, 1]], dtype=torch.int8)
    expected = x - 2.0
    for name in ("encoder_input", "encoder.2", "encoder.5"):
        expected = torch.relu(expected @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])
    expected = expected @ weights["mixer.head.weight"].T + weights["mixer.head.bias"]

    assert torch.allclose(score(net, x), expected.reshape(2, 2, 5), atol=1e-6)
    assert {name.split(".")[0] for name in weights} == {"encoder_input", "encoder", "descriptor", "mixer"}
    assert [name for name in weights if name.startswith("mixer")] == ["mixer.head.weight", "mixer.head.bias"]


@pytest.mark.parametrize("mixing", ["row", "era", "none", "mlp"])
def test_stacked_predictions_are_an_input_that_may_be_masked(mixing):
    """Every body reads them, none is the same as zeros, and a network without them refuses them."""
    without = {"lookback": 0, "groups": (), "history_targets": 0} if mixing in WITHOUT_HISTORY else {}
    config = replace(CONFIG, mixing=mixing, stacked=True, **without)
    inputs = random_inputs(config, 6, seed=11)
    given = [inputs.get(name) for name in ALL_INPUTS]
    net = network(config)

    masked = score(net, *given[:3])

    assert torch.equal(masked, score(net, *given[:3], torch.zeros(6, 3)))
    assert not torch.equal(masked, score(net, *given))
    with pytest.raises(ValueError, match="takes no predictions"):
        network(replace(config, stacked=False))(*given)


def test_rows_do_not_see_each_other():
    """A row's logits do not depend on the rows it is scored with."""
    inputs = random_inputs(CONFIG, 30, seed=4)
    net = network()
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))

    together = score(net, *inputs.values())
    shuffled = score(net, *(value if name == "window" else value[order][:11] for name, value in inputs.items()))

    assert torch.allclose(together[order][:11], shuffled, atol=1e-6)


def test_a_missing_feature_is_a_category_with_weights_of_its_own():
    """Code 5 is the middle bin plus the feature's missing weight, not a code above 4."""
    net = network(replace(CONFIG, missing_category=True))
    features, engineered, window = random_inputs(CONFIG, 3, seed=5).values()
    missing, middle = features.clone(), features.clone()
    missing[:, 2], middle[:, 2] = MISSING_CATEGORY, 2

    with_weight = score(net, missing, engineered, window)
    with torch.no_grad():
        net.missing_input.weight[:, 2] = 0

    assert not torch.allclose(with_weight, score(net, middle, engineered, window))
    assert torch.equal(score(net, missing, engineered, window), score(net, middle, engineered, window))


def test_aggregates_are_scaled_inside_the_network():
    """Offset and scale of the config act as if the caller had applied them."""
    scaled = network()
    plain = network(replace(CONFIG, engineered_offset=(), engineered_scale=()))
    features, engineered, window = random_inputs(CONFIG, 5, seed=6).values()
    by_hand = (engineered - torch.tensor([1.0, -2.0])) / torch.tensor([2.0, 0.5])

    assert torch.equal(score(scaled, features, engineered, window), score(plain, features, by_hand, window))


def test_history_dropout_masks_a_whole_batch():
    """In training the history of all rows is there, or of none, in the share asked for."""
    net = network(replace(CONFIG, dropout=0.0, input_dropout=0.0, history_dropout=0.3)).train()
    features, engineered, window = random_inputs(CONFIG, 8, seed=7).values()
    kept, masked = score(net.eval(), features, engineered, window), score(net, features, engineered, None)

    net.train()
    torch.manual_seed(0)
    draws = [score(net, features, engineered, window) for _ in range(300)]
    share = sum(torch.allclose(draw, masked, atol=1e-6) for draw in draws) / len(draws)

    assert all(torch.allclose(d, masked, atol=1e-6) or torch.allclose(d, kept, atol=1e-6) for d in draws)
    assert share == pytest.approx(0.3, abs=0.08)


def test_missing_or_unexpected_aggregates_are_refused():
    """Engineered columns are there exactly when the config has them."""
    features, engineered, window = random_inputs(CONFIG, 2, seed=8).values()

    with pytest.raises(ValueError, match="takes 2 engineered columns"):
        network()(features, None, window)
    with pytest.raises(ValueError, match="takes 0 engineered columns"):
        network(replace(CONFIG, engineered=0, engineered_offset=(), engineered_scale=()))(features, engineered, window)


def test_the_temporal_projection_starts_as_exponential_averages():
    """Rows of norm 1 that fall by half every half-life, from a thirteenth of the lookback to all of it."""
    weights = exponential_averages(26, 3)
    half_lives = -1 / torch.log2(weights[:, 1] / weights[:, 0])

    assert half_lives.tolist() == pytest.approx([2, 52**0.5, 26], rel=1e-4)
    assert weights.norm(dim=1).tolist() == pytest.approx([1, 1, 1])
    assert torch.equal(network().mixer.temporal_projection.weight, exponential_averages(5, 3))
