"""The part of the data that one recipe needs."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import CannotSplit
from bot.features.feature_sets import FeatureMetadata
from bot.training.recipe_sync import needed_parts
from bot.training.recipes import STARTER
from bot.training.training_data import resolved_eras, split_eras

ERAS = tuple(f"{era:04d}" for era in range(1, 1232))
METADATA = FeatureMetadata(
    feature_sets={"small": ("feature_a", "feature_b"), "medium": ("feature_a", "feature_b", "feature_c")},
    targets=("target_ender_20", "target_ender_60"),
)


def plan_of(recipe=STARTER, target="target_ender_60"):
    return recipe.resolved(data_version="v5.3", feature_set="medium", target=target)


def data_of(eras, unresolved):
    """Return a stand-in of training data with these eras, of which the newest are unresolved."""
    labelled = np.arange(len(eras)) < len(eras) - unresolved
    return SimpleNamespace(main=SimpleNamespace(store=SimpleNamespace(eras=eras, labelled=lambda _target: labelled)))


def labels(eras, positions):
    return [eras[position] for position in positions]


@given(
    holdout=st.integers(2, 120),
    validation=st.integers(2, 60),
    every=st.integers(1, 6),
    newest=st.integers(2, 60),
    unresolved=st.integers(5, 14),
    target=st.sampled_from(METADATA.targets),
)
def test_needed_eras_split_as_the_whole_history_does(holdout, validation, every, newest, unresolved, target):
    """Training, validation, hold-out and refit of the needed eras are those of all eras, whatever the recipe takes."""
    recipe = replace(STARTER, holdout_eras=holdout, validation_eras=validation, every=every, newest=newest)
    plan = plan_of(recipe, target)
    needed = ERAS[-needed_parts(plan, METADATA)["validation.parquet"].eras :]
    unresolved = min(unresolved, 6 if target.endswith("_20") else 14)

    whole, part = data_of(ERAS, unresolved), data_of(needed, unresolved)

    blocks = ("train", "validation", "holdout")
    found = [
        [labels(data.main.store.eras, getattr(split_eras(data, plan), block)) for block in blocks]
        for data in (whole, part)
    ]
    assert found[0] == found[1]
    assert labels(ERAS, resolved_eras(whole, plan)) == labels(needed, resolved_eras(part, plan))


def test_needed_eras_are_not_more_than_that():
    """With a training block fewer, the recipe could not have its eras."""
    plan = plan_of()
    parts = needed_parts(plan, METADATA)
    fewer = ERAS[-(parts["validation.parquet"].eras - 4 * 108 - 8) :]

    with pytest.raises(CannotSplit):
        split_eras(data_of(fewer, 14), plan)


def test_starter_leaves_the_training_file_where_it_is():
    """The starter's eras are those of validation.parquet of v5.3, which has 656."""
    parts = needed_parts(plan_of(), METADATA)

    assert parts["train.parquet"].eras == parts["validation.parquet"].eras == 606
    assert parts["meta_model.parquet"].eras == 166


def test_only_needed_columns_are_chosen():
    """Of the history: ids, eras, the feature set and the target; of the others: the column that a score needs."""
    parts = needed_parts(plan_of(), METADATA)
    history = ("id", "era", "data_type", "feature_a", "feature_b", "feature_c", "target", "target_ender_60")

    assert list(parts["train.parquet"].columns(history)) == [
        "id", "era", "data_type", "feature_a", "feature_b", "target_ender_60",
    ]  # fmt: skip
    benchmark = parts["validation_benchmark_models.parquet"].columns
    assert benchmark(("id", "era", "v53_lgbm_ender20", "v53_lgbm_ender60")) == ("id", "era", "v53_lgbm_ender60")
    assert benchmark(("id", "era", "v53_lgbm_cyrusd20")) == ()
    assert parts["meta_model.parquet"].columns(("id", "era", "data_type", "numerai_meta_model")) == (
        "id", "era", "numerai_meta_model",
    )  # fmt: skip
