"""What the page of live scores makes of rounds: totals, rolling means, benchmarks, correlation, and what was expected."""

from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.live.live_scores import LiveRound, LiveScores
from bot.record.ledger import Ledger, rounds_folder
from bot.web.content import live_record as live
from bot.web.content.live_record import LiveRecord
from bot.web.pages import Pages
from tests.harness import page_states as states


def scored(number, slot="mixer", pay=0.01, corr=0.02, **more):
    return LiveRound(
        round=number, slot=slot, scores={"corr60": corr}, percentiles={}, day=60, resolved=True, pay=pay, **more
    )  # fmt: skip


def record(*rounds, own=("mixer", "trees")):
    return LiveRecord(rounds, {(1, slot): "a" for slot in own})


@pytest.fixture(scope="module")
def sixty(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sixty")
    return states.made_state(folder, rounds=60)


def page(path):
    return bytes(Pages(path.parent, path).live().body).decode()


def read(path):
    with closing(LiveScores(path, read_only=True)) as found, closing(Ledger(path, read_only=True)) as ledger:
        return LiveRecord.of(found.rounds(), ledger.entries(limit=1000))


@given(st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=30))
def test_totals_are_those_of_the_pays(pays):
    """Number, sum, best and worst are those of the rounds with a pay; models without any are left out."""
    rounds = [scored(number, pay=pay) for number, pay in enumerate(pays)]

    (found,) = live.totals(record(*rounds, scored(99, pay=None), scored(99, slot="other", pay=None)))

    assert (found["rounds"], found["best"], found["worst"]) == (len(pays), max(pays), min(pays))
    assert found["sum"] == pytest.approx(sum(pays))
    assert found["mean"] * found["rounds"] == pytest.approx(found["sum"])


def test_all_slots_are_the_mean_of_ones_own_and_leave_benchmarks_out():
    """Each slot counts the same in a round; a model without a submission is a benchmark."""
    found = record(scored(1, pay=0.1), scored(1, slot="trees", pay=0.3), scored(1, slot="v53_example", pay=9.0))

    assert found.slots == ["mixer", "trees"]
    assert found.benchmarks == ["v53_example"]
    assert found.series(live.EVERY, "pay") == {1: pytest.approx(0.2)}
    assert [row["slot"] for row in live.totals(found)] == ["mixer", "trees", "all slots", "v53_example"]


def test_a_rolling_mean_is_that_of_the_newest_rounds():
    """The window of twenty takes the newest twenty; that of sixty is empty before there are sixty."""
    found = record(*(scored(number, pay=float(number)) for number in range(1, 41)))

    (row,) = live.windows(found)

    assert row["pay-20"] == pytest.approx(np.mean(range(21, 41)))
    assert row["pay-60"] is None


def test_the_rolling_line_is_the_mean_of_each_twenty_rounds():
    """Rounds without a value are passed over, and there is no mean before the twentieth value."""
    values = [float(at) for at in range(25)]
    values[3] = float("nan")

    found = live._rolling(values)

    assert np.isnan(found[:20]).all()
    assert found[20] == pytest.approx(np.nanmean(values[:21]))
    assert found[24] == pytest.approx(np.mean(values[5:25]))


def test_a_sum_is_not_drawn_where_a_model_had_no_round():
    """A slot that began later has no line before its first round, and a missing score is no zero."""
    assert np.array_equal(live._summed([np.nan, 1.0, np.nan, 2.0]), [np.nan, 1.0, np.nan, 3.0], equal_nan=True)


def test_slots_are_compared_by_scores_and_by_their_newest_predictions(sixty):
    """A pair has the correlation of its scores by round, and of the predictions that both sent in the newest round."""
    (row,) = live.alike(read(sixty), rounds_folder(sixty))
    sent = [
        np.loadtxt(
            rounds_folder(sixty) / str(states.NEWEST) / slot / "predictions.csv", delimiter=",", skiprows=1, usecols=1
        )
        for slot in ("mixer", "trees")
    ]
    ranks = [np.argsort(np.argsort(one)) for one in sent]

    assert (row["first"], row["second"], row["round"], row["rounds"]) == ("mixer", "trees", states.NEWEST, 60)
    assert row["predictions"] == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert 0.5 < row["corr60"] < 1


def test_few_common_rounds_have_no_correlation():
    """Nine rounds say nothing about how alike two slots are."""
    rounds = [scored(number, slot=slot, corr=number / 100) for number in range(9) for slot in ("mixer", "trees")]

    (row,) = live.alike(record(*rounds), rounds_folder(states.Path("nowhere/ledger.sqlite")))

    assert (row["corr60"], row["predictions"], row["rounds"]) == (None, None, 9)


def test_the_expected_corr_is_that_of_the_artifact_that_filled_the_rounds(sixty):
    """Each artifact has its own row: its hold-out's mean, the mean of its rounds, and whether that was to be expected."""
    found = live.expected_and_seen(read(sixty), sixty.parent / "artifacts")
    rounds = read(sixty).series("mixer", "corr60")

    assert [row["recipe"] for row in found] == ["standard", "trees"]
    assert found[0]["rounds"] == 60
    assert found[0]["live"] == pytest.approx(np.mean(list(rounds.values())))
    assert found[0]["low"] < found[0]["mean"] < found[0]["high"]
    assert all((row["low"] <= row["live"] <= row["high"]) == (row["place"] == "within") for row in found)


def test_a_disappointing_record_is_below_what_was_expected(tmp_path):
    """A live CORR far under the hold-out's interval is marked."""
    identity = states.artifact(tmp_path, 2, now=states.datetime.now(states.UTC))
    rounds = [scored(number, corr=-0.2) for number in range(30)]
    found = LiveRecord(rounds, {(number, "mixer"): identity for number in range(30)})

    (row,) = live.expected_and_seen(found, tmp_path / "artifacts")

    assert row["place"] == "below"
    assert "outside" in row["drawn"]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_young_record_is_a_whole_page(tmp_path, count):
    """With no, one or five rounds the page says what there is; a single round is drawn as dots."""
    found = page(states.made_state(tmp_path, rounds=count))

    assert ("No live score yet" in found) == (count == 0)
    assert ('class="card dots"' in found) == (count == 1)
    assert (f"{count} round" in found) == (count > 0)


def test_rounds_are_links_losses_are_coloured_and_the_benchmark_is_beside(sixty):
    """A round links to its page, a negative figure has the colour of losses, and the benchmark has its lines and rows."""
    found = page(sixty)

    assert f'<a href="/round/{states.NEWEST}">' in found
    assert '<td class="lost-figure">\N{MINUS SIGN}' in found
    assert "corr60 less v53_example" in found
    assert found.count("<small>benchmark</small>") == 2
    assert len(found.encode()) < 150_000


def test_years_of_many_slots_are_no_heavy_and_no_slow_page(tmp_path):
    """With ten slots and five years, charts hold the newest rounds, and the figures are made in one look at the rounds."""
    names = [f"slot{number}" for number in range(10)]
    rounds = [scored(number, slot=slot) for number in range(1250) for slot in (*names, "other")]
    found = record(*rounds, own=names)
    drawn = live.charts(found)

    assert sum(len(chart) for chart, _ in drawn) < 100_000
    assert "the newest 75 rounds" in drawn[0][0]
    assert [row["one"].round for row in live.newest_rounds(found, limit=25)][::10] == [1249, 1248, 1247]


def test_names_and_ids_from_outside_are_escaped(tmp_path):
    """A slot or benchmark with markup in its name is shown as text, in tables and in charts."""
    path = states.made_state(tmp_path, rounds=3)
    with closing(LiveScores(path)) as found:
        states.scores(found, states.NEWEST, "<script>alert(1)</script>", corr=0.1, mmc=0.0)

    assert "<script>alert" not in page(path)
    assert "&lt;script&gt;alert" in page(path)


@pytest.mark.parametrize(
    "damage", ["", "id,prediction\nx", "id,prediction\nx,y,z\n", "\udcff", "id,prediction\na,nan\n"]
)
def test_damaged_files_are_left_out(tmp_path, damage):
    """Predictions and evaluations that cannot be read leave their cells empty, and the page stands."""
    path = states.made_state(tmp_path, rounds=12)
    for one in rounds_folder(path).glob("*/mixer/predictions.csv"):
        one.write_text(damage, errors="surrogateescape")
    for one in (tmp_path / "artifacts").glob("*/evaluation.json"):
        one.write_text(damage, errors="surrogateescape")

    assert "Correlation of the slots" in page(path)
    assert "Expected and seen" not in page(path)
