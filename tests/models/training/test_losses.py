"""What training minimises."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.bins import CORR_VALUES, TARGET_RANKS, TARGET_SHARES, TARGET_VALUES
from models.inference.ranks import double_ranks, normal_scores
from models.network.network import expected_value
from models.training._losses import centred_ranks, cross_entropy, loss, mean_squared_error, pearson


def test_class_values_are_the_scores_own_transforms():
    """CORR is worth sign(v - .5)|v - .5|^1.5 of a class, MMC its value."""
    v = np.array(TARGET_VALUES)

    assert np.allclose(CORR_VALUES, np.sign(v - 0.5) * np.abs(v - 0.5) ** 1.5, atol=1e-15)
    assert sum(TARGET_SHARES) == pytest.approx(1)
    assert np.allclose(TARGET_RANKS, np.cumsum(TARGET_SHARES) - np.array(TARGET_SHARES) / 2 - 0.5)


def test_losses_equal_their_definitions():
    """On four rows with one unknown target each loss equals the formula written out in numpy."""
    logits = torch.randn(4, 2, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    targets = torch.tensor([[0.25, 1.0], [0.5, float("nan")], [0.0, 0.5], [0.75, 0.0]], dtype=torch.float64)
    p = torch.softmax(logits, -1).numpy()
    known = [(0, 0, 1), (1, 0, 2), (2, 0, 0), (3, 0, 3), (0, 1, 4), (2, 1, 2), (3, 1, 0)]  # row, target, class

    nats = np.mean([-np.log(p[r, t, c]) for r, t, c in known])
    ranks = {(0, 0): -0.125, (1, 0): 0.125, (2, 0): -0.375, (3, 0): 0.375, (0, 1): 1 / 3, (2, 1): 0, (3, 1): -1 / 3}
    squares = np.mean([(p[r, t] @ TARGET_RANKS - ranks[r, t]) ** 2 for r, t, _ in known])
    per_target = []
    for target in range(2):
        rows = [(r, c) for r, t, c in known if t == target]
        per_target.append(
            np.corrcoef([p[r, target] @ CORR_VALUES for r, _ in rows], [CORR_VALUES[c] for _, c in rows])[0, 1]
        )

    assert float(cross_entropy(logits, targets)) == pytest.approx(nats, rel=1e-12)
    assert float(mean_squared_error(logits, targets)) == pytest.approx(squares, rel=1e-12)
    assert float(pearson(logits, targets)) == pytest.approx(1 - np.mean(per_target), rel=1e-5)
    assert expected_value(logits, CORR_VALUES).numpy() == pytest.approx(p @ CORR_VALUES)


def test_a_single_output_is_learned_as_it_is():
    """Mean squared error compares it with the centred rank, the correlation with CORR's transform of the target."""
    scores = torch.randn(20, 1, 1, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    targets = torch.tensor(TARGET_VALUES, dtype=torch.float64)[torch.arange(20) % 5].unsqueeze(1)
    value, label = scores.numpy()[:, 0, 0], targets.numpy()[:, 0]
    ranks = (double_ranks(label) - 1) / 40 - 0.5
    stretched = np.sign(label - 0.5) * np.abs(label - 0.5) ** 1.5

    assert float(mean_squared_error(scores, targets)) == pytest.approx(np.mean((value - ranks) ** 2))
    assert float(pearson(scores, targets)) == pytest.approx(1 - np.corrcoef(value, stretched)[0, 1], rel=1e-5)


def test_cross_entropy_shares_a_target_between_two_classes():
    """A sixth (of seven bins) lies two thirds of the way from class 0 to class 1."""
    logits = torch.randn(1, 1, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    log_p = torch.log_softmax(logits, -1)[0, 0]

    loss = cross_entropy(logits, torch.tensor([[1 / 6]], dtype=torch.float64))

    assert float(loss) == pytest.approx(float(-(log_p[0] / 3 + 2 * log_p[1] / 3)))


@pytest.mark.parametrize("loss", [cross_entropy, mean_squared_error, pearson])
def test_unknown_targets_leave_no_gradient(loss):
    """A NaN target changes no weight, and gradients stay finite."""
    logits = torch.randn(6, 2, 5, generator=torch.Generator().manual_seed(3)).requires_grad_()
    targets = torch.full((6, 2), float("nan"))
    targets[:, 0] = torch.tensor([0.0, 0.25, 0.5, 0.5, 0.75, 1.0])

    loss(logits, targets).backward()

    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[:, 1] == 0).all()
    assert (logits.grad[:, 0] != 0).any()


def test_a_share_of_the_correlation_loss_may_be_added():
    """The mix is the sum its definition says."""
    logits = torch.randn(9, 2, 5, generator=torch.Generator().manual_seed(4))
    targets = torch.tensor(TARGET_VALUES)[torch.arange(18).reshape(9, 2) % 5]

    mixed = loss("cross_entropy", pearson_weight=0.3)(logits, targets)

    assert float(mixed) == pytest.approx(float(cross_entropy(logits, targets) + 0.3 * pearson(logits, targets)))


@pytest.mark.parametrize("name", ["cross_entropy", "mse", "pearson"])
def test_nothing_known_is_no_loss_to_learn_from(name):
    """Rows without any target leave a finite loss and no gradient."""
    logits = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(5)).requires_grad_()

    loss(name)(logits, torch.full((3, 2), float("nan"))).backward()

    assert not logits.grad.any()


@given(st.lists(st.sampled_from([0, 0.25, 0.5, 0.75, 1.0, 1 / 6, float("nan")]), min_size=1, max_size=40))
def test_ranks_are_the_tie_kept_ones_of_known_rows(values):
    """Whatever is tied or unknown, a known row's rank is that of all other modules, less a half."""
    targets = np.array(values)
    known = np.isfinite(targets)

    ranks = centred_ranks(torch.tensor(values, dtype=torch.float64)[:, None])[:, 0].numpy()

    assert (ranks[~known] == 0).all()
    assert ranks[known] == pytest.approx((double_ranks(targets[known]) - 1) / (2 * known.sum()) - 0.5)


def benchmark_world(rows=400):
    """Return logits, targets that follow a benchmark in part, and the benchmark, all of one era."""
    generator = torch.Generator().manual_seed(6)
    logits = torch.randn(rows, 1, 5, generator=generator, dtype=torch.float64)
    noise, opinion = torch.randn(2, rows, generator=generator, dtype=torch.float64)
    benchmark = torch.from_numpy(normal_scores(rows)[double_ranks(opinion.numpy())].copy())
    order = (0.5 * benchmark + noise).argsort().argsort() / rows
    targets = torch.bucketize(order, torch.tensor([0.05, 0.25, 0.75, 0.95], dtype=torch.float64))[:, None] / 4
    return logits, targets.double(), benchmark


def test_losses_against_a_benchmark_equal_their_definitions():
    """Each label loses its projection on the benchmark; what the correlation is taken with is MMC's own remainder."""
    logits, targets, benchmark = benchmark_world()
    p = torch.softmax(logits, -1).numpy()[:, 0]
    y, b = targets.numpy()[:, 0], benchmark.numpy()

    def left(label):
        centred = label - label.mean()
        return label - (centred @ b) / (b @ b) * b

    value, ranked = left(y), left((double_ranks(y) - 1) / (2 * len(y)) - 0.5)
    place = np.clip(value, 0, 1) * 4
    low = np.floor(place).astype(int)
    rows = np.arange(len(y))
    nats = -np.log(p[rows, low]) * (low + 1 - place) - np.log(p[rows, np.ceil(place).astype(int)]) * (place - low)

    assert abs(np.corrcoef(value, b)[0, 1]) < 1e-12 < abs(np.corrcoef(y, b)[0, 1])
    assert float(cross_entropy(logits, targets, benchmark)) == pytest.approx(nats.mean())
    assert float(mean_squared_error(logits, targets, benchmark)) == pytest.approx(
        ((p @ TARGET_RANKS - ranked) ** 2).mean()
    )
    expected = 1 - np.corrcoef(p @ TARGET_VALUES, value)[0, 1]
    assert float(pearson(logits, targets, benchmark)) == pytest.approx(expected, rel=1e-5)


def test_labels_may_lose_a_share_of_their_projection():
    """Half of the projection leaves half of the covariance with the benchmark; without residuals it is not looked at."""
    logits, targets, benchmark = benchmark_world()
    p = torch.softmax(logits, -1).numpy()[:, 0]
    y, b = targets.numpy()[:, 0], benchmark.numpy()
    half = y - 0.5 * ((y - y.mean()) @ b) / (b @ b) * b

    value = loss("pearson", residual=0.5)(logits, targets, benchmark)

    assert float(value) == pytest.approx(1 - np.corrcoef(p @ TARGET_VALUES, half)[0, 1], rel=1e-5)
    assert loss("pearson")(logits, targets, benchmark) == pearson(logits, targets)


@pytest.mark.parametrize("name", ["cross_entropy", "mse", "pearson"])
def test_penalty_is_the_squared_correlation_with_the_benchmark(name):
    """It is the mean over targets, over rows that have target and benchmark, and is left out without a benchmark."""
    logits, targets, benchmark = benchmark_world(rows=60)
    logits, targets = torch.cat([logits, logits.flip(0)], dim=1), targets.repeat(1, 2)
    targets[:7, 1], benchmark[20:25] = float("nan"), float("nan")
    score = (torch.softmax(logits, -1).numpy() @ CORR_VALUES, benchmark.numpy())
    known = [np.isfinite(targets[:, target].numpy()) & np.isfinite(score[1]) for target in range(2)]
    squares = [np.corrcoef(score[0][rows, t], score[1][rows])[0, 1] ** 2 for t, rows in enumerate(known)]

    penalised = loss(name, benchmark_penalty=0.3)

    assert [rows.sum() for rows in known] == [55, 48]
    assert float(penalised(logits, targets, benchmark) - loss(name)(logits, targets)) == pytest.approx(
        0.3 * np.mean(squares), rel=1e-3
    )
    assert penalised(logits, targets) == loss(name)(logits, targets)


def test_rows_without_a_target_take_no_part_in_the_projection():
    """What the benchmark says of unknown rows changes no loss."""
    logits, targets, benchmark = benchmark_world()
    targets[::3] = float("nan")
    other = benchmark.clone()
    other[::3] = 7.0

    for name in ("cross_entropy", "mse", "pearson"):
        assert loss(name, residual=1.0)(logits, targets, benchmark) == loss(name, residual=1.0)(logits, targets, other)


def test_half_precision_does_not_reach_the_score():
    """Under autocast to bfloat16 the expected value is that of float32, or rows would be tied by the hundred."""
    logits = torch.randn(50, 2, 5, generator=torch.Generator().manual_seed(7))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = expected_value(logits, CORR_VALUES)

    assert torch.equal(half, expected_value(logits, CORR_VALUES))
