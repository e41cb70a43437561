"""Champions that kill their process or never return while they score: the fallback below confirms the round."""

import json
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.record.ledger import Ledger
from bot.record.outbox import Outbox
from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from tests.harness import deadly
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT, Installation
from tests.harness.ladder import another_four, cases, ladder
from tests.harness.process import running, until
from tests.harness.trials import bots

DEADLY = Path(deadly.__file__)
DAEMON = f"""
import sys
from bot.system import child_process
from bot.cli.main import main
child_process.PROGRAM = (sys.executable, {str(DEADLY)!r})
sys.argv = ["bot", "run"]
main()
"""


def promote_copy(store):
    """Promote a copy of the champion; return the ids of the new champion and the one before."""
    (known,) = store.champions("demo")
    whole = store.open(known)
    files = {name: whole.path(name) for name in whole.manifest["files"]}
    made = store.write(files=files, manifest=dict(whole.manifest), at=datetime(2026, 12, 1, tzinfo=UTC))
    store.promote("demo", made.id)
    return made.id, known


def arm(installation, way, **more):
    """Promote a champion that dies so; return its id and that of the sound one before."""
    champion, sound = promote_copy(ArtifactStore(installation.state / "artifacts"))
    about = {"ways": {champion: way}, **more}
    (installation.state / "deadly.json").write_text(json.dumps(about), encoding="utf-8")
    return champion, sound


def entry(installation):
    ledger = Ledger(installation.settings_as().ledger_path)
    try:
        return ledger.entry(FIRST_ROUND, SLOT)
    finally:
        ledger.close()


def test_submit_by_hand_begins_below_a_champion_that_was_killed_twice(installation):
    """The third call confirms the round with the previous champion; receipt, status and report name the reason."""
    champion, sound = arm(installation, "kill")
    done = [installation.python(str(DEADLY), "submit") for _ in range(3)]
    reason = f"artifact {champion} is passed over: its process was killed twice"
    report = json.loads((installation.state / "rounds" / str(FIRST_ROUND) / SLOT / "report.json").read_text())
    shown = installation.bot("status").stdout

    assert [one.returncode for one in done] == [-9, -9, 0], done[-1].stderr
    assert (entry(installation).artifact, entry(installation).filled_by) == (sound, "previous champion")
    assert entry(installation).passed_over == reason
    assert report["rungs_refused"] == [reason]
    assert "its process was killed twice" in " ".join(done[-1].stdout.split())
    assert f"filled by   previous champion: {reason}" in shown


@pytest.mark.parametrize("way", ["hang", "hang with the lock", "hang on load"])
def test_submit_ends_a_scoring_that_does_not_return(installation, sandbox, way):
    """A scoring past its limit ends the process and is counted, also where a library holds Python's lock."""
    sandbox.clock.advance(timedelta(minutes=57, seconds=30))  # so late that one overrun suffices
    # A busy machine needs time to load the model before the lock is held.
    champion, sound = arm(installation, way, longest_s=3.0 if way == "hang with the lock" else 0.5)
    first = installation.python(str(DEADLY), "submit")
    # The sound one may take as long as a busy machine needs.
    (installation.state / "deadly.json").write_text(json.dumps({"ways": {champion: way}}), encoding="utf-8")
    second = installation.python(str(DEADLY), "submit")

    assert second.returncode == 0, second.stderr
    assert entry(installation).artifact == sound
    if way == "hang with the lock":
        assert first.returncode == -14
        assert "its process was killed once" in entry(installation).passed_over
    else:
        assert first.returncode == 75
        assert "did not score within" in first.stderr.splitlines()[-1]
        assert "it did not score in its time once" in entry(installation).passed_over


def test_the_only_champion_is_tried_again_and_again(installation):
    """Without a fallback, a champion that died twice is tried a third time."""
    (only,) = ArtifactStore(installation.state / "artifacts").champions("demo")
    path = installation.state / "deadly.json"
    path.write_text(json.dumps({"ways": {only: "kill"}}))
    died = [installation.python(str(DEADLY), "submit").returncode for _ in range(2)]
    path.write_text(json.dumps({"ways": {}}))

    assert died == [-9, -9]
    assert installation.python(str(DEADLY), "submit").returncode == 0
    assert entry(installation).filled_by == "champion"


def test_daemon_confirms_the_round_with_the_previous_champion(world_folder, trained, tmp_path):
    """`bot run` starts the next attempt within seconds, and its alert names the reason."""
    shutil.copytree(trained / "artifacts", tmp_path / "state" / "artifacts")
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    settings = {"BOT_TICK_S": "0.3", "BOT_RETRAIN": "off", "BOT_SYNC": "off", "BOT_BACKUP": "off"}
    with Sandbox(World.open(world_folder), clock=clock, schedule=schedule) as sandbox:
        bot = Installation(sandbox=sandbox, root=tmp_path, settings=settings)
        champion, sound = arm(bot, "kill")
        with running(bot, program=(sys.executable, "-c", DAEMON)) as daemon:
            daemon.confirmed(schedule, FIRST_ROUND, limit_s=300)
            until(lambda: daemon.events("round.settled"), 60, "the round is not settled")
        alerts = Outbox(bot.settings_as().ledger_path).open_alerts()

    assert entry(bot).artifact == sound
    assert f"artifact {champion} is passed over: its process was killed twice" in entry(bot).passed_over
    assert "ladder" in alerts


def test_rounds_with_dying_champions_are_confirmed_by_the_best_that_scores(world_folder, trained, tmp_path):
    """The short form of the soak `ladder` has no breach."""
    shutil.copytree(trained / "artifacts", tmp_path / "artifacts")
    another_four(ArtifactStore(tmp_path / "artifacts"))
    with bots(tmp_path / "artifacts") as runner:
        tally = ladder(runner, World.open(world_folder), tmp_path / "trial", cases(8, champions=4, seed=1))

    assert not tally.breaches
    assert tally.trials == 8
