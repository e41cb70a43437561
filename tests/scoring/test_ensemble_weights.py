"""Ensemble weights: effect of evidence, limits of a weight, and findings without enough evidence."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.scoring.ensemble_weights import EraScores, weigh
from bot.scoring.metrics import corr, mmc

TERMS = {"corr_multiplier": 3.0, "mmc_multiplier": 15.0, "lag": 4}
RULES = ["inverse_variance", "constrained"]


def series(seed, skill, *, count=80, rows=400, common=0.0, meta_from=0):
    """
    Return scores of members on generated eras.

    Args:
        seed: Seed of all random numbers.
        skill: Weight of the target in each member's predictions; NaN for pure noise.
        count: Number of eras.
        rows: Rows of an era.
        common: Weight of the noise that skilled members share.
        meta_from: First era with a meta model.
    """
    rng = np.random.default_rng(seed)
    eras = []
    for number in range(count):
        y = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], size=rows, p=[0.05, 0.2, 0.5, 0.2, 0.05])
        shared, own = rng.normal(size=rows), rng.normal(size=(rows, len(skill) + 2))
        members = {
            f"m{i}": own[:, i] if np.isnan(s) else s * (y - 0.5) * 4 + common * shared + own[:, i]
            for i, s in enumerate(skill)
        }
        meta, benchmark = (0.1 * (y - 0.5) * 4 + own[:, -k] for k in (1, 2))
        eras.append(EraScores.of(members, y, meta_model=meta if number >= meta_from else None, benchmark=benchmark))
    return eras


def names(count):
    return [f"m{i}" for i in range(count)]


def test_scores_of_an_era_are_those_of_the_metrics():
    """CORR and MMC equal the metrics, BMC without a benchmark is NaN, and similarity is a correlation."""
    rng = np.random.default_rng(1)
    y = rng.choice([0.0, 0.5, 1.0], size=200)
    a, b, meta = rng.normal(size=(3, 200)) + y

    found = EraScores.of({"a": a, "b": b}, y, meta_model=meta, benchmark=None)

    assert found.corr.tolist() == [corr(a, y), corr(b, y)]
    assert found.mmc.tolist() == [mmc(a, meta, y), mmc(b, meta, y)]
    assert np.isnan(found.bmc).all()
    assert found.similarity.diagonal() == pytest.approx(1)
    assert found.similarity[0, 1] == pytest.approx(np.corrcoef(a, b)[0, 1], abs=0.05)


def test_pay_for_corr_alone_needs_no_reference():
    """With a multiplier of 0 for MMC, eras without reference predictions count as well, and nothing is said of them."""
    eras = [replace(era, mmc=era.mmc * np.nan, bmc=era.bmc * np.nan) for era in series(3, [0.3, 0.02])]
    found = weigh("constrained", names(2), eras, corr_multiplier=1.0, mmc_multiplier=0.0, lag=4)

    assert found.findings == ()
    assert found.weights["m0"] > found.weights["m1"]


@settings(deadline=None, max_examples=12)
@given(
    seed=st.integers(0, 10_000),
    rule=st.sampled_from(RULES),
    skill=st.lists(st.floats(0.05, 0.3), min_size=2, max_size=5),
    order=st.randoms(use_true_random=False),
)
def test_members_in_another_order_get_the_same_weights(seed, rule, skill, order):
    """Weights do not depend on the order of the members, are at least 0 and add up to 1."""
    eras = series(seed, skill, count=30, rows=120, common=0.5)
    places = list(range(len(skill)))
    order.shuffle(places)
    moved = [
        EraScores(
            corr=era.corr[places],
            mmc=era.mmc[places],
            bmc=era.bmc[places],
            similarity=era.similarity[np.ix_(places, places)],
        )
        for era in eras
    ]

    before = weigh(rule, names(len(skill)), eras, **TERMS).weights
    after = weigh(rule, [f"m{place}" for place in places], moved, **TERMS).weights

    assert after == pytest.approx(before, abs=1e-9)
    assert sum(before.values()) == pytest.approx(1)
    assert min(before.values()) >= 0


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 10_000),
    rule=st.sampled_from(RULES),
    others=st.lists(st.floats(0.15, 0.3), min_size=1, max_size=4),
    common=st.sampled_from([0.0, 1.0]),
    shrink=st.sampled_from([0.0, 0.5]),
)
def test_a_useless_member_gets_no_more_than_an_equal_share(seed, rule, others, common, shrink):
    """A member of pure noise gets at most an equal share, although it is steady and unlike the other members."""
    eras = series(seed, [*others, float("nan")], count=40, rows=150, common=common)

    weights = weigh(rule, names(len(others) + 1), eras, **TERMS, shrink=shrink).weights

    assert weights[f"m{len(others)}"] <= 1 / (len(others) + 1) + 1e-12


def test_a_member_that_is_clearly_better_gets_more():
    """A clearly better member gets a higher weight, by default half way between equal share and optimum."""
    eras = series(2, [0.05, 0.05, 0.4])

    free = weigh("constrained", names(3), eras, **TERMS, shrink=0.0).weights
    shrunk = weigh("constrained", names(3), eras, **TERMS).weights

    assert free["m2"] > shrunk["m2"] > 0.5
    assert shrunk["m2"] == pytest.approx((free["m2"] + 1 / 3) / 2, abs=1e-9)


def test_members_of_equal_skill_stay_near_equal_weights():
    """Three members of the same skill differ by chance only, and their weights stay near equal."""
    found = [weigh("constrained", names(3), series(seed, [0.2] * 3), **TERMS).weights for seed in range(6)]

    assert sum(weights == pytest.approx(dict.fromkeys(names(3), 1 / 3), abs=0.08) for weights in found) >= 4
    assert max(max(weights.values()) for weights in found) < 0.5


def test_a_copy_of_a_member_shares_its_weight():
    """Two identical members get equal weights."""
    eras = series(3, [0.3, 0.3], common=0.0)
    twice = [
        EraScores(
            corr=era.corr[[0, 0, 1]],
            mmc=era.mmc[[0, 0, 1]],
            bmc=era.bmc[[0, 0, 1]],
            similarity=era.similarity[np.ix_([0, 0, 1], [0, 0, 1])],
        )
        for era in eras
    ]

    weights = weigh("constrained", names(3), twice, **TERMS).weights

    assert weights["m0"] == pytest.approx(weights["m1"])


def test_bmc_replaces_mmc_before_the_meta_model_begins():
    """Eras without a meta model use BMC, eras without both are left out, and a finding reports each."""
    eras = series(4, [0.1, 0.3], meta_from=50)
    bare = EraScores(corr=eras[0].corr, mmc=eras[0].mmc, bmc=np.full(2, np.nan), similarity=eras[0].similarity)

    stood_in = weigh("constrained", names(2), eras, **TERMS)
    without = weigh("constrained", names(2), [bare, *eras[50:]], **TERMS)

    assert stood_in.findings == ("BMC stands in for MMC in 50 of 80 eras, which have no meta model",)
    assert without.findings == ("1 of 31 eras lack a score of some member and are left out",)
    assert without.weights == weigh("constrained", names(2), eras[50:], **TERMS).weights


def constant_member():
    rng = np.random.default_rng(6)
    return [
        EraScores.of(
            {"m0": rng.normal(size=60), "m1": np.full(60, 0.5)},
            rng.choice([0.0, 0.5, 1.0], size=60),
            meta_model=rng.normal(size=60),
            benchmark=None,
        )
        for _ in range(40)
    ]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("eras", "reason"),
    [
        ([], "0 eras are fewer"),
        (series(5, [0.1, 0.3], count=9, rows=60), "9 eras are fewer"),
        (series(5, [0.1, 0.3], count=1, rows=60), "1 eras are fewer"),
        (constant_member(), "40 of 40 eras lack a score"),
        (series(5, [-0.3, -0.3], count=40, rows=60), "worth more"),
    ],
    ids=["none", "few", "one", "constant", "losing"],
)
def test_too_little_evidence_gives_equal_weights_and_a_finding(rule, eras, reason):
    """With no, one or few eras, a constant member or only losing members, weights are equal and a finding has the reason."""
    found = weigh(rule, names(2), eras, **TERMS)

    if "worth" in reason and rule == "inverse_variance":
        assert max(found.weights.values()) < 0.75
        return
    assert found.weights == {"m0": 0.5, "m1": 0.5}
    assert reason in " ".join(found.findings)


def test_equal_needs_no_evidence():
    """The rule `equal` and a single member need no eras."""
    assert weigh("equal", names(4), [], **TERMS).weights == dict.fromkeys(names(4), 0.25)
    assert weigh("constrained", ["alone"], [], **TERMS).weights == {"alone": 1.0}


@pytest.mark.parametrize(("members", "shrink"), [([], 0.5), (["a"], 0.5), (["a", "b"], 1.5)])
def test_arguments_that_do_not_fit_together_are_refused(members, shrink):
    """No members, another number of members than in an era, and a shrink outside 0 to 1 are refused."""
    with pytest.raises(ValueError, match="do not fit"):
        weigh("constrained", members, series(7, [0.1, 0.1], count=2, rows=60), **TERMS, shrink=shrink)
