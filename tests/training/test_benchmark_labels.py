"""Residual labels of a benchmark: the eras that have them, and early stopping on BMC."""

from dataclasses import replace

import numpy as np
import pytest

from bot.data.ingest import update
from bot.errors import OperatorNeeded
from bot.features.feature_sets import FeatureMetadata
from bot.features.preprocess import Preprocess
from bot.sandbox.world.generate import generate
from bot.sandbox.world.schema import SIZES
from bot.scoring.metrics import bmc
from bot.scoring.residual import bmc_of_residual, residual
from bot.training.benchmark_labels import covered_positions, neutralizer_column, with_benchmark
from bot.training.network_fit import NetworkFitter
from bot.training.recipes import DEMO
from bot.training.splits import Split
from bot.training.training_set import TrainingSet

TARGETS = ("target_ender_60", "target_ender_20")
MAIN = TARGETS[0]
TRAIN_ERAS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A generated world whose training eras have no benchmark predictions; Numerai's own lack those before era 0158."""
    folder = tmp_path_factory.mktemp("world") / "world"
    generate(folder, size=replace(SIZES["tiny"], train_eras=TRAIN_ERAS, rows=(60, 80)), seed=1)
    (folder / "v5.3" / "train_benchmark_models.parquet").unlink()
    return folder / "v5.3"


@pytest.fixture(scope="module")
def plain(folder):
    paths = [folder / "train.parquet", folder / "validation.parquet"]
    names = FeatureMetadata.read(folder / "features.json").members("small")[:8]
    store = update(folder / "store", paths, version="v5.3").select(names, TARGETS)
    manifest = Preprocess(features=names, groups={"all": tuple(range(8))}, engineered=())
    return TrainingSet.build(store, manifest, targets=TARGETS, history_targets=(), lookback=0)


@pytest.fixture(scope="module")
def data(plain, folder):
    return with_benchmark(plain, plain.store.store, folder, target=MAIN)


def test_eras_without_the_benchmark_are_not_learned(data, plain):
    """Eras without the benchmark are left out of training; if none is left, the message names the covered eras."""
    last = len(data.store.eras) - 17

    assert covered_positions(data, range(TRAIN_ERAS - 5, TRAIN_ERAS + 5), "training") == tuple(
        range(TRAIN_ERAS, TRAIN_ERAS + 5)
    )
    assert covered_positions(plain, range(5), "training") == tuple(range(5))
    with pytest.raises(
        OperatorNeeded, match=f"covers eras {data.store.eras[TRAIN_ERAS]} to .*none of them a training era"
    ):
        covered_positions(data, range(TRAIN_ERAS), "training")
    with pytest.raises(KeyError):
        data.eras([0]).batch(0)
    assert last > TRAIN_ERAS


def test_without_the_file_nothing_is_trained(plain, tmp_path):
    """A recipe with residual labels is refused where the benchmark is missing."""
    with pytest.raises(
        OperatorNeeded,
        match=r"needs the benchmark.s predictions: no validation_benchmark_models.parquet; run `bot sync`",
    ):
        with_benchmark(plain, plain.store.store, tmp_path, target=MAIN)


def test_stopping_on_the_residual_is_stopping_on_bmc(data):
    """The product of predictions and residual equals Numerai's BMC, on rows that have predictions, benchmark and target."""
    position = TRAIN_ERAS + 3
    truth, benchmark = data.target(position, MAIN).astype(np.float64), data.benchmark[position].copy()
    truth[:5], benchmark[5:9] = np.nan, np.nan
    predictions = np.random.default_rng(0).normal(size=len(truth))
    known = np.isfinite(truth) & np.isfinite(benchmark)
    left = residual(truth[:, None], benchmark)[:, 0]

    assert np.isnan(left[~known]).all()
    assert bmc_of_residual(predictions[known], left[known].astype(np.float64)) == pytest.approx(
        bmc(predictions[known], benchmark[known], truth[known]), abs=1e-6
    )


def test_held_out_eras_hold_the_residual_and_learned_ones_the_benchmark(data, plain):
    """Each loss removes the projection from its own labels; validation targets are residuals already."""
    position = TRAIN_ERAS + 3
    learned, held_out = data.eras([position]).batch(0), data.eras([position], held_out=True).batch(0)
    raw = plain.eras([position]).batch(0).targets

    np.testing.assert_array_equal(learned.targets, raw)
    np.testing.assert_array_equal(learned.benchmark, data.benchmark[position])
    np.testing.assert_array_equal(held_out.targets, residual(raw, data.benchmark[position]))
    assert held_out.benchmark is None
    assert abs(np.corrcoef(held_out.targets[:, 0], learned.benchmark)[0, 1]) < 1e-3


def test_a_network_is_fitted_to_the_residual(data, plain, tmp_path):
    """Training runs on the covered eras and gives another result than training on the targets."""
    network = replace(DEMO.network, lookback=0, history_targets=(), mixing="none", epochs=1, loss="pearson")
    recipe = replace(DEMO, network=network, refit=False)
    split = Split(train=tuple(range(50, 75)), validation=tuple(range(76, 80)))
    fits = [
        NetworkFitter(data=one, recipe=recipe, target=MAIN, device="cpu", checkpoints=tmp_path).fit(split, ())
        for one in (data, plain)
    ]

    assert np.isfinite(fits[0].best_corr[0])
    assert fits[0].best_corr != fits[1].best_corr
    assert len(list(tmp_path.glob("*.pt"))) == 2


def test_what_is_neutralized_to_the_benchmark_needs_it_in_every_judged_era(plain, folder):
    """The live column is returned; a hold-out era without the benchmark is refused."""
    store = plain.store.store

    assert neutralizer_column(folder, store, range(TRAIN_ERAS, TRAIN_ERAS + 9), MAIN) == "v53_lgbm_ender60"
    with pytest.raises(OperatorNeeded, match=f"does not cover era {store.eras[TRAIN_ERAS - 1]}.*hold out fewer"):
        neutralizer_column(folder, store, range(TRAIN_ERAS - 1, TRAIN_ERAS + 9), MAIN)
