"""A season of resolved rounds: the live record holds the tournament's scores and payouts."""

from datetime import timedelta

import numpy as np
import pyarrow.parquet as pq
import pytest

from bot.cli.everyday.scores import show_live
from bot.live.live_scores import LiveScores
from bot.live.sync import calibrate, export, sync_scores
from bot.record.ledger import Ledger
from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import Fault
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import DEMO_ACCOUNT
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from bot.submission.submission_file import render
from bot.tournament.client import NumeraiClient
from bot.tournament.responses import LiveScore, Payment
from bot.tournament.rounds import Payout, Round
from bot.tournament.slots import Slot
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT

SEASON = 42
DAY = timedelta(days=1)
SLOTS = (Slot(name=SLOT, model_id=DEMO_ACCOUNT.models[SLOT], recipe="demo"),)


@pytest.fixture(scope="module")
def season(tmp_path_factory, world_folder):
    """Client and tournament with forty-two submitted rounds, of which all but the last few are resolved."""
    schedule = Schedule.every(DAY, window=DAY / 2, first_round=FIRST_ROUND, first_open=OPENED)
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    with Sandbox(World.open(world_folder), clock=clock, schedule=schedule) as sandbox:
        client = NumeraiClient(
            api_url=sandbox.url, public_id=DEMO_ACCOUNT.public_id, secret_key=DEMO_ACCOUNT.secret_key
        )
        for number in range(FIRST_ROUND, FIRST_ROUND + SEASON):
            era = sandbox.tournament.live_era(number)
            known = np.nan_to_num(era.targets["target_ender_60"], nan=0.5)
            noise = np.random.default_rng(number).normal(size=len(era.ids))
            ranks = np.argsort(np.argsort(noise + known)) + 0.5
            content = render(list(era.ids), ranks / len(ranks))
            client.upload(model_id=SLOTS[0].model_id, filename=f"r{number}.csv", content=content, check=lambda: None)
            clock.advance(DAY)
        yield client, sandbox


def resolved(sandbox):
    """Resolve every round."""
    sandbox.clock.advance(timedelta(days=365))


def test_the_record_equals_the_tournaments_scores_and_pay(season, tmp_path):
    """Scores equal the tournament's to 1e-9, and pay is the clipped 3 x CORR + 15 x MMC with the round's payout factors."""
    client, sandbox = season
    resolved(sandbox)
    record = LiveScores(tmp_path / "ledger.sqlite")
    sync_scores(client, record, SLOTS)
    rounds = {one.round: one for one in record.rounds(SLOT)}

    assert len(rounds) == SEASON >= 40
    assert record.newest_terms().multipliers == {"corr60": 3.0, "mmc60": 15.0}
    assert record.newest_terms().source == f"round {max(rounds)}"
    for one in sandbox.tournament.submissions:
        kept = rounds[one.round]
        assert kept.resolved
        assert kept.scores == pytest.approx(one.scores, abs=1e-9)
        expected = np.clip(3 * one.scores["corr60"] + 15 * one.scores["mmc60"], -1, 1)
        assert kept.pay == pytest.approx(expected, abs=1e-9)


def test_what_was_paid_stands_beside_what_the_terms_say(season, tmp_path):
    """With a stake, Numerai's payouts are stored, equal ours to 1e-9, and do not change after settlement."""
    client, sandbox = season
    resolved(sandbox)
    sandbox.tournament.stakes[SLOTS[0].model_id] = 12.5
    record = LiveScores(tmp_path / "ledger.sqlite")
    before = sync_scores(client, record, SLOTS)
    again = sync_scores(client, record, SLOTS)
    sandbox.tournament.stakes.clear()
    late = record.record_payouts([Payment(round=FIRST_ROUND, slot=SLOT, nmr=99.0, settled=True)], {})
    export(record.rounds(), tmp_path / "record.parquet")

    assert (before, again, late) == (4 * SEASON, 0, 0)
    for one in record.rounds(SLOT):
        assert (one.at_risk, one.settled) == (12.5, True)
        assert one.paid == pytest.approx(12.5 * one.pay, abs=1e-9)
        assert one.over_terms == pytest.approx(0, abs=1e-9)
    assert set(pq.read_table(tmp_path / "record.parquet").column("at_risk").to_pylist()) == {12.5}


def test_a_payout_that_is_not_what_the_terms_say_is_shown(tmp_path, capsys):
    """Pending payouts are updated until settlement; their difference to the expected payout has its own column."""
    record = LiveScores(tmp_path / "ledger.sqlite")
    record.record(SLOT, [score(0.02, 20, final=True)])
    record.record_terms(
        Round(number=1405, opens_at=OPENED, closes_at=OPENED, factor=1.0,
              payouts=(Payout(score="corr60", multiplier=3.0, clip=1.0),))
    )  # fmt: skip
    told = [Payment(round=1405, slot=SLOT, nmr=nmr, settled=settled) for nmr, settled in ((0.3, False), (0.5, True))]
    changes = [record.record_payouts([one], {SLOT: {1405: 10.0}}) for one in told]
    unknown = record.record_payouts([Payment(round=1406, slot=SLOT, nmr=1.0, settled=False)], {})
    (kept,) = record.rounds()
    show_live([kept], [])
    shown = capsys.readouterr().out

    assert (changes, unknown) == ([1, 1], 1)
    assert (kept.pay, kept.paid, kept.at_risk) == (pytest.approx(0.06), 0.5, 10.0)
    assert kept.over_terms == pytest.approx(-0.1)
    assert "paid NMR" in shown
    assert "-0.1000" in shown


def test_scores_come_without_payouts_where_the_key_may_not_know(season, tmp_path):
    """If the payout query fails, only payouts are missing."""
    client, sandbox = season
    resolved(sandbox)
    sandbox.faults.add(Fault(operation="pending_model_payouts", kind="graphql_error", message="permission denied"))
    record = LiveScores(tmp_path / "ledger.sqlite")

    assert sync_scores(client, record, SLOTS) == 3 * SEASON
    assert record.rounds()[0].paid is None


def test_a_second_sync_brings_no_news_and_the_export_has_everything(season, tmp_path):
    """Resolved scores do not change, and the parquet file has one row per round and score."""
    client, sandbox = season
    resolved(sandbox)
    record = LiveScores(tmp_path / "ledger.sqlite")
    first, second = sync_scores(client, record, SLOTS), sync_scores(client, record, SLOTS)
    export(record.rounds(), tmp_path / "record.parquet")
    table = pq.read_table(tmp_path / "record.parquet")

    assert (first, second) == (3 * SEASON, 0)
    assert table.num_rows == 3 * SEASON
    assert set(table.column("score").to_pylist()) == {"corr60", "mmc60", "bmc"}


def score(value, day, *, final=False):
    return LiveScore(
        round=1405, name="corr60", value=value, percentile=0.5, day=day, date=f"2026-12-{day:02}", resolved=final
    )


def test_a_resolved_score_is_frozen(tmp_path):
    """Scores are updated until they are resolved; later answers do not change them."""
    record = LiveScores(tmp_path / "ledger.sqlite")
    steps = [score(0.01, 1), score(0.02, 2), score(0.015, 1), score(0.03, 20, final=True), score(0.5, 21, final=True)]
    changes = [record.record(SLOT, [one]) for one in steps]
    (kept,) = record.rounds()

    assert changes == [1, 1, 0, 1, 0]
    assert (kept.scores["corr60"], kept.day, kept.resolved) == (0.03, 20, True)
    assert kept.pay is None


def test_expected_and_live_corr_of_an_artifact_are_compared(installation):
    """Live scores of an artifact are compared with its hold-out; a few rounds have no standard error."""
    assert installation.bot("submit").returncode == 0
    installation.sandbox.clock.advance(timedelta(days=365))
    done = installation.bot("scores")
    ledger, record = (kind(installation.state / "ledger.sqlite") for kind in (Ledger, LiveScores))
    artifacts = ArtifactStore(installation.state / "artifacts")
    rounds = record.rounds()
    (found,) = calibrate(rounds, ledger, artifacts, score="corr60")
    (both,) = calibrate([*rounds, *rounds], ledger, artifacts, score="corr60")

    assert (both.rounds, both.live) == (1, found.live), "a round that the artifact fills twice counts once"
    assert done.returncode == 0, done.stderr
    assert "expected CORR" in done.stdout
    assert found.rounds == 1
    assert np.isnan(found.error)
    assert found.live == pytest.approx(installation.sandbox.tournament.submissions[0].scores["corr60"], abs=1e-9)
    assert (installation.state / "live_record.parquet").is_file()
