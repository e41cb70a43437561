"""Memory that the fits of a recipe are estimated to take."""

import pytest

from bot.members import registry
from bot.members.member import Member
from bot.training import training_memory
from bot.training.recipes import STANDARD
from bot.training.training_memory import available_memory, largest_fit


def step_bytes(columns, rows, mixing="row"):
    """Return the estimated bytes of a network whose steps have so many rows."""
    kind = registry.find("tsmixer")
    options = kind.options()
    network = type(options.network)(mixing=mixing, batch_rows=rows)
    member = Member(name="mine", kind="tsmixer", target="target", options=type(options)(network=network))
    return kind.memory(member, rows=6_900_000, columns=columns)


@pytest.mark.parametrize(("columns", "measured"), [(42, 93_926), (780, 107_190)])
def test_a_row_of_a_step_takes_what_was_measured(columns, measured):
    """The bytes of one more row in a row mixer's step are estimated within 15 % of the measured ones."""
    assert (step_bytes(columns, 6_000) - step_bytes(columns, 2_048)) / 3_952 == pytest.approx(measured, rel=0.15)


@pytest.mark.parametrize("mixing", ["era", "none"])
def test_other_networks_take_less(mixing):
    """A network that mixes whole eras, or none, takes less than half of a row mixer's step beside its libraries."""
    step, row = (step_bytes(780, 6_000, one) - step_bytes(780, 1, one) for one in (mixing, "row"))

    assert step < row / 2


def test_trees_are_fitted_before_networks():
    """A trained network leaves memory in the process; trees, which hold all rows, are fitted before it."""
    plan = STANDARD.resolved(data_version="v5.3", feature_set="medium", target="target_ender_60")

    assert [unit.owner.kind for unit in plan.units] == ["tsmixer", "lightgbm"]
    assert [unit.owner.kind for unit in plan.fit_order] == ["lightgbm", "tsmixer"]


def test_standard_on_medium_fits_a_container_of_four_gibibytes(tmp_path):
    """No model of the default recipe is estimated to take 4 GiB on the whole history."""
    plan = STANDARD.resolved(data_version="v5.3", feature_set="medium", target="target_ender_60")

    assert largest_fit(plan, tmp_path) < 4 << 30


def test_files_that_the_kernel_keeps_for_a_container_count_as_free(tmp_path, monkeypatch):
    """The pages of the era store are freed when a fit needs them."""
    gib = 1 << 30
    for name, text in (
        ("memory.max", f"{gib // 16}\n"),
        ("memory.current", f"{gib // 16 - gib // 128}\n"),
        ("memory.stat", f"anon {gib // 64}\ninactive_file {gib // 64}\nactive_file {gib // 128}\n"),
    ):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(training_memory, "CGROUP", tmp_path)

    assert available_memory() == gib // 128 + gib // 64 + gib // 128
