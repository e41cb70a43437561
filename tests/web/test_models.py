"""The page of models and the comparison of two of them, from files that the artifacts have."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from bot.scoring.bootstrap import newey_west_error
from bot.web.pages import Pages
from tests.harness import page_states as states

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def state(tmp_path):
    states.made_state(tmp_path, rounds=2)
    return tmp_path


def pages(state):
    return Pages(state, state / "ledger.sqlite")


def text(page):
    return bytes(page.body).decode()


def identities(state):
    return sorted(one.name for one in (state / "artifacts").glob("2*"))


def change(state, identity, **values):
    path = state / "artifacts" / identity / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_card_has_verdict_score_line_report_and_a_rival(state):
    """Each artifact is a card: champions first, with their verdict, hold-out line and links in sight."""
    found = text(pages(state).models())
    first, trees, champion, newest = identities(state)

    assert found.index(champion) < found.index(newest) < found.index(first) < found.index(trees)
    assert found.count('class="spark"') == 4
    assert f'href="/report/{newest}"' in found
    assert f'href="/compare/{newest}/{champion}"' in found
    assert found.count('<span class="badge good">champion</span>') == 2


def test_many_challengers_leave_the_oldest_out(state):
    """A recipe shows its champion and twelve others, and says how many it leaves out."""
    for number in range(10, 30):
        states.artifact(state, number, now=datetime.now(UTC), name="standard")
    found = text(pages(state).models())

    assert found.count("<article") == 13 + 1
    assert "10 older artifacts of standard" in found
    assert identities(state)[2] in found  # the champion


def test_a_comparison_is_paired_by_the_common_eras(state):
    """Means, difference and error are those of the eras that both hold-outs have."""
    first, _, champion, _ = identities(state)
    series = []
    for identity in (first, champion):
        path = state / "artifacts" / identity / "evaluation.json"
        evaluation = json.loads(path.read_text())
        if identity == first:  # begins later
            evaluation["holdout"]["eras"] = [f"{int(era) + 20:04d}" for era in evaluation["holdout"]["eras"]]
            path.write_text(json.dumps(evaluation))
        series.append(np.array(evaluation["holdout"]["scores"]["corr"]["ensemble"]))
    gaps = series[0][:-20] - series[1][20:]
    found = text(pages(state).compare(f"{first}/{champion}"))

    assert "130 eras that both hold-outs have, 0920 to 1049" in found
    row = found[found.index('<th scope="row" class="left">CORR</th>') :][:300]
    assert f"{gaps.mean():.4f}".replace("-", "\N{MINUS SIGN}") in row
    assert f"{newey_west_error(gaps, lag=12):.4f}" in row
    assert "pay" in found
    assert len(found.encode()) < 150_000


def test_a_comparison_without_an_evaluation_says_so(state):
    """An adopted model has no hold-out; the page says why there is nothing to compare."""
    first, trees, *_ = identities(state)
    (state / "artifacts" / first / "evaluation.json").unlink()
    found = text(pages(state).compare(f"{first}/{trees}"))

    assert f"no evaluation of {first} is kept" in found
    assert "Scores</h2>" not in found


@pytest.mark.parametrize(
    ("values", "reason"),
    [({"target": "target_ender_20"}, "their targets differ"), ({"target": None}, "their targets differ")],
)
def test_artifacts_of_different_targets_are_not_compared(state, values, reason):
    """Scores of two targets are no common measure."""
    first, trees, *_ = identities(state)
    change(state, first, **values)

    assert reason in text(pages(state).compare(f"{first}/{trees}"))


def test_artifacts_without_a_common_era_are_not_compared(state):
    """Hold-outs of different years have nothing in common."""
    first, trees, *_ = identities(state)
    path = state / "artifacts" / first / "evaluation.json"
    path.write_text(path.read_text().replace('"09', '"19').replace('"10', '"20'))

    assert "no era in common" in text(pages(state).compare(f"{first}/{trees}"))


def test_one_artifact_offers_the_others(state):
    """Without a second artifact the page lists what to compare with."""
    first, *others = identities(state)
    found = text(pages(state).compare(first))

    assert all(f'href="/compare/{first}/{one}"' in found for one in others)


def test_no_artifact_offers_all_of_them(state):
    """Without a name the page says what it compares, and links every artifact and its champion."""
    first, trees, champion, newest = identities(state)
    found = text(pages(state).compare(""))

    assert "two artifacts" in found
    assert all(f'href="/compare/{one}"' in found for one in (first, trees, champion, newest))
    assert f'href="/compare/{newest}/{champion}"' in found


def test_a_state_without_artifacts_says_how_to_make_one(tmp_path):
    """The page of a new installation names the command that trains, and is no error."""
    found = text(Pages(tmp_path, tmp_path / "ledger.sqlite").compare(""))

    assert "<code>bot retrain</code>" in found


def test_a_comparison_of_recipes_is_linked_and_served(state):
    """The page of `bot evaluate compare` is a link away where it has both recipes."""
    first, trees, *_ = identities(state)
    folder = state / "experiments" / "compare-0123abcd"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"recipes": ["trees", "standard", "demo"]}))
    (folder / "comparison.html").write_text("<h1>folds</h1>")
    (state / "experiments" / "compare-x").mkdir()
    (state / "experiments" / "compare-x" / "comparison.html").write_text("not finished")

    assert "trees, standard, demo" in text(pages(state).compare(f"{first}/{trees}"))
    assert pages(state).comparison("compare-0123abcd").path == folder / "comparison.html"


@pytest.mark.parametrize("name", ["none", "..", "../ledger", "none/none", "champions", "a/b/c", "/", "%00", HOSTILE])
def test_an_unknown_artifact_has_no_comparison(state, name):
    """A name that is no artifact gets no page, and no path leaves the folder."""
    assert pages(state).compare(name) is None
    assert pages(state).comparison(name) is None


def test_hostile_manifests_are_text(state):
    """Names, reasons and verdicts of any artifact are shown as text, on the cards and in the comparison."""
    first, trees, *_ = identities(state)
    states.diagnosed(state, first, HOSTILE)
    change(state, first, recipe={"name": HOSTILE}, decision={"promote": False, "reason": HOSTILE}, data_version=HOSTILE)
    shown = pages(state)

    for page in (shown.models(), shown.compare(first), shown.compare(f"{first}/{trees}"), shown.compare(trees)):
        assert HOSTILE not in text(page)
        assert "&lt;script&gt;" in text(page)


@pytest.mark.parametrize(
    "values",
    [{"recipe": 7}, {"recipe": {"name": None}}, {"scores": []}, {"scores": {"ensemble": 1}}, {"decision": "yes"},
     {"created_at": "never"}, {"created_at": "2026-11-24T12:00:00"}, {"created_at": 5}],
)  # fmt: skip
def test_odd_manifests_do_not_break_the_pages(state, values):
    """A manifest that an older or another bot wrote loses its figure, not the page."""
    first, trees, *_ = identities(state)
    change(state, first, **values)

    assert text(pages(state).models()).count("<article") == 4
    assert "<h1>" in text(pages(state).compare(f"{first}/{trees}"))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"holdout": 5}',
        '{"holdout": {"eras": ["0900"], "scores": {"corr": {"ensemble": ["x"]}}}}',
        "[" * 5000,
    ],
)
def test_odd_evaluations_leave_their_line_out(state, content):
    """A damaged evaluation takes the line off the card."""
    (state / "artifacts" / identities(state)[0] / "evaluation.json").write_text(content)

    assert text(pages(state).models()).count('class="spark"') == 3
