"""What training minimises."""

import numpy as np
import pytest
import torch

from models.classes import CLASS_PRIOR, CORR_VALUES, MMC_VALUES, TARGET_VALUES
from models.losses import cross_entropy, expected_value, loss, mean_squared_error, pearson


def test_class_values_are_the_scores_own_transforms():
    """CORR is worth sign(v - .5)|v - .5|^1.5 of a class, MMC its value."""
    v = np.array(TARGET_VALUES)

    assert np.allclose(CORR_VALUES, np.sign(v - 0.5) * np.abs(v - 0.5) ** 1.5, atol=1e-15)
    assert MMC_VALUES == TARGET_VALUES
    assert sum(CLASS_PRIOR) == pytest.approx(1)


def test_losses_equal_their_definitions():
    """On four rows with one unknown target each loss equals the formula written out in numpy."""
    logits = torch.randn(4, 2, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    targets = torch.tensor([[0.25, 1.0], [0.5, float("nan")], [0.0, 0.5], [0.75, 0.0]], dtype=torch.float64)
    p = torch.softmax(logits, -1).numpy()
    known = [(0, 0, 1), (1, 0, 2), (2, 0, 0), (3, 0, 3), (0, 1, 4), (2, 1, 2), (3, 1, 0)]  # row, target, class

    nats = np.mean([-np.log(p[r, t, c]) for r, t, c in known])
    squares = np.mean([(p[r, t] @ TARGET_VALUES - TARGET_VALUES[c]) ** 2 for r, t, c in known])
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
