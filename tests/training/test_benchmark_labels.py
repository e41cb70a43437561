"""The benchmark in training: eras that it covers, residual labels, the penalty, and early stopping on BMC or pay."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bot.data.ingest import update
from bot.errors import OperatorNeeded
from bot.features.feature_sets import FeatureMetadata
from bot.features.preprocess import Preprocess
from bot.members.network.fit import NetworkFitter, covered_positions
from bot.members.network.options import NetworkOptions
from bot.members.network.validation_score import ValidationScore
from bot.members.tree_fit import fit_trees
from bot.sandbox.world.generate import generate
from bot.sandbox.world.schema import SIZES
from bot.scoring.metrics import bmc, corr
from bot.training.benchmark_labels import neutralizer_column, with_benchmark
from bot.training.recipes import DEMO
from bot.training.training_set import TrainingSet
from models.trees.gbm_options import PRESETS
from tests.harness.recipes import network_of

TARGETS = ("target_ender_60", "target_ender_20")
MAIN = TARGETS[0]
TRAIN_ERAS = 60


class Unknown:
    """Eras whose targets are unknown everywhere."""

    def __init__(self, data):
        self._data = data

    def __getattr__(self, name):
        return getattr(self._data, name)

    def label(self, position, name):
        return np.full_like(self._data.label(position, name), np.nan)

    def table(self, _positions, _target, **_how):
        return SimpleNamespace(chunks=(), labels=np.empty(0, dtype=np.float32))


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
    assert covered_positions(data, range(TRAIN_ERAS - 5, TRAIN_ERAS + 5), "training") == tuple(
        range(TRAIN_ERAS, TRAIN_ERAS + 5)
    )
    assert covered_positions(plain, range(5), "training") == tuple(range(5))
    with pytest.raises(
        OperatorNeeded, match=f"covers eras {data.store.eras[TRAIN_ERAS]} to .*none of them a training era"
    ):
        covered_positions(data, range(TRAIN_ERAS), "training")


def test_without_the_file_nothing_is_trained(plain, tmp_path):
    """A recipe with residual labels is refused where the benchmark is missing."""
    with pytest.raises(
        OperatorNeeded,
        match=r"need the benchmark.s predictions: no validation_benchmark_models.parquet; run `bot sync`",
    ):
        with_benchmark(plain, plain.store.store, tmp_path, target=MAIN)


def test_eras_carry_the_targets_and_the_benchmark_that_covers_them(data, plain):
    """Targets stay as they are; an era that the benchmark does not cover has none."""
    covered, before = (data.eras([position]).batch(0) for position in (TRAIN_ERAS + 3, 3))

    np.testing.assert_array_equal(covered.targets, plain.eras([TRAIN_ERAS + 3]).batch(0).targets)
    np.testing.assert_array_equal(covered.benchmark, data.benchmark[TRAIN_ERAS + 3])
    assert before.benchmark is None
    assert plain.eras([TRAIN_ERAS + 3]).batch(0).benchmark is None


def test_scores_of_validation_eras_are_numerais(data):
    """BMC is that of numerai-tools; pay weighs CORR and BMC; an era with too few rows of the benchmark has neither."""
    position = TRAIN_ERAS + 3
    truth, benchmark = data.target(position, MAIN).astype(np.float64), data.benchmark[position].copy()
    predictions = np.random.default_rng(0).normal(size=len(truth))
    benchmark[5:9] = np.nan
    both = np.isfinite(benchmark)
    pay = ValidationScore(name="pay", corr_multiplier=3, mmc_multiplier=15)
    contribution = bmc(predictions[both], benchmark[both], truth[both])

    assert ValidationScore(name="corr")(predictions, truth, None) == corr(predictions, truth)
    assert ValidationScore(name="bmc")(predictions, truth, benchmark) == pytest.approx(contribution, abs=1e-12)
    assert pay(predictions, truth, benchmark) == pytest.approx(3 * corr(predictions, truth) + 15 * contribution)
    assert np.isnan(pay(predictions, truth, None))
    benchmark[: len(truth) // 2] = np.nan
    assert np.isnan(pay(predictions, truth, benchmark))


@pytest.mark.parametrize(
    ("network", "label", "stops_on", "needed"),
    [
        ({}, "target", "corr", False),
        ({}, "residual", "bmc", True),
        ({"stop_on": "corr"}, "residual", "corr", True),
        ({"stop_on": "pay"}, "target", "pay", True),
        ({"benchmark_penalty": 0.3}, "target", "corr", True),
    ],
)
def test_member_decides_what_the_benchmark_is_for(network, label, stops_on, needed):
    """Residual labels stop on BMC unless the options name a score; each use of the benchmark makes it necessary."""
    options = NetworkOptions(**network)

    assert options.stops_on(label) == stops_on
    assert options.needs_benchmark(label) == needed


def fit(data, folder, *, train=range(50, 75), validation=range(76, 80), residual=None, **network):
    """Fit a small perceptron whose training eras begin before the benchmark does."""
    options = replace(
        network_of(DEMO), lookback=0, history_targets=(), mixing="none", epochs=1, loss="pearson", **network
    )
    name, events = options.stops_on("target" if residual is None else "residual"), []
    fitter = NetworkFitter(
        data=data,
        options=options,
        residual=residual,
        score=ValidationScore(name=name, corr_multiplier=3.0, mmc_multiplier=15.0),
        target=MAIN,
        device="cpu",
        checkpoints=folder,
        record_metrics=lambda _run, _step, measured: events.append(set(measured)),
    )
    fitted = fitter.fit(tuple(train), tuple(validation), ())
    return fitted.best_score[0], events[-1]


def test_a_number_of_steps_needs_no_eras_to_stop_on(data, tmp_path):
    """A network that trains a fixed number of steps is not scored, also where it would stop on a score of the benchmark."""
    score, measured = fit(data, tmp_path, validation=(), stop_on="bmc", steps=3)

    assert np.isnan(score)
    assert "loss" in measured


def test_trees_of_a_target_that_is_known_nowhere_are_refused(plain, tmp_path):
    """One line names the target."""
    with pytest.raises(OperatorNeeded, match=f"target {MAIN} is known in none of 2 training eras; choose another"):
        fit_trees(Unknown(plain), (50, 51), PRESETS["demo"], MAIN, lambda *_: None)


def test_a_network_is_fitted_to_the_residual(data, plain, tmp_path):
    """Training runs on the covered eras, and gives another result than training on the targets or on half a residual."""
    residual, measured = fit(data, tmp_path, residual=1.0)
    half, _ = fit(data, tmp_path, residual=0.5)
    plainly, _ = fit(plain, tmp_path)

    assert len({residual, half, plainly}) == 3
    assert np.isfinite([residual, half, plainly]).all()
    assert measured == {"loss", "bmc", "rows_per_s"}
    assert len(list(tmp_path.glob("*.pt"))) == 3


def test_a_penalty_is_trained_on_all_eras(data, plain, tmp_path):
    """Eras before the benchmark are learned too; a recipe none of whose training eras it covers is refused."""
    penalised, measured = fit(data, tmp_path, benchmark_penalty=1.0)
    free, _ = fit(data, tmp_path, benchmark_penalty=1e-9)
    fewer, _ = fit(data, tmp_path, benchmark_penalty=1.0, train=range(TRAIN_ERAS, 75))

    assert len({penalised, free, fewer}) == 3
    assert measured == {"loss", "corr", "rows_per_s"}
    with pytest.raises(OperatorNeeded, match=r"none of them a training era; .* benchmark_penalty = 0"):
        fit(data, tmp_path, benchmark_penalty=1.0, train=range(40))
    with pytest.raises(ValueError, match="uses a benchmark, and its data have none"):
        fit(plain, tmp_path, benchmark_penalty=1.0)


def test_early_stopping_on_pay_leaves_uncovered_eras_out(data, tmp_path):
    """The score of the best step is the pay of covered validation eras; without one the recipe is refused."""
    pay, measured = fit(data, tmp_path, stop_on="pay")
    on_bmc, _ = fit(data, tmp_path, stop_on="bmc")

    assert measured == {"loss", "pay", "rows_per_s"}
    assert np.isfinite([pay, on_bmc]).all()
    assert pay != on_bmc
    with pytest.raises(OperatorNeeded, match=r"none of them a validation era.*stop_on = 'corr'"):
        fit(data, tmp_path, train=range(60, 75), validation=range(10), stop_on="pay")


def test_what_is_neutralized_to_the_benchmark_needs_it_in_every_judged_era(plain, folder):
    """The live column is returned; a hold-out era without the benchmark is refused."""
    store = plain.store.store

    assert neutralizer_column(folder, store, range(TRAIN_ERAS, TRAIN_ERAS + 9), MAIN) == "v53_lgbm_ender60"
    with pytest.raises(OperatorNeeded, match=f"does not cover era {store.eras[TRAIN_ERAS - 1]}.*hold out fewer"):
        neutralizer_column(folder, store, range(TRAIN_ERAS - 1, TRAIN_ERAS + 9), MAIN)
