"""Whole rounds from the command line with real numerapi, HTTP, SQLite and models."""

import hashlib
import json
import re
import shutil
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.sandbox.faults import Fault
from bot.serving.artifacts import ArtifactStore
from tests.harness.crash import another_champion
from tests.harness.installation import FIRST_ROUND, LIMIT_S, SLOT


def held(sandbox):
    return [one for one in sandbox.tournament.submissions if one.accepted]


def predictions(installation, rounds="rounds"):
    return (installation.state / rounds / str(FIRST_ROUND) / SLOT / "predictions.csv").read_bytes()


def test_open_round_ends_confirmed(installation, sandbox):
    """One command confirms the open round with the bot's exact bytes."""
    result = installation.new_bot("submit", "--round", "latest")

    assert result.returncode == 0, result.stderr
    assert "confirmed" in result.stdout
    assert [one.content for one in held(sandbox)] == [predictions(installation)]


def test_second_run_has_nothing_to_do(installation, sandbox):
    """A second run uploads nothing and exits with 0."""
    installation.bot("submit", "--round", "latest")
    result = installation.bot("submit", "--round", "latest")

    assert (result.returncode, len(held(sandbox))) == (0, 1)
    assert "already confirmed, nothing to do" in result.stdout


def test_dry_run_touches_nothing_on_the_server(installation, sandbox):
    """A dry run changes nothing on the server."""
    result = installation.bot("submit", "--round", "latest", "--dry-run")

    assert result.returncode == 0, result.stderr
    assert "official_validation" in result.stdout
    assert not sandbox.tournament.submissions


def test_a_dry_run_leaves_what_was_sent(installation):
    """A rehearsal of a confirmed round keeps its own files, and `bot status` shows each mode separately."""
    installation.bot("submit", "--round", "latest")
    folder = installation.state / "rounds" / str(FIRST_ROUND)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    another_champion_serves(installation)
    rehearsed = installation.bot("submit", "--round", "latest", "--dry-run")
    live, dry = (
        json.loads(installation.bot("status", str(FIRST_ROUND), "--json", BOT_MODE=mode).stdout)["slots"][SLOT]
        for mode in ("live", "dry-run")
    )

    assert rehearsed.returncode == 0, rehearsed.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert predictions(installation, "rounds-dry-run") != predictions(installation)
    assert (live["state"], dry["state"]) == ("confirmed", "rehearsed")
    assert [one["artifact"] == one["report"]["artifact"] for one in (live, dry)] == [True, True]
    assert live["artifact"] != dry["artifact"]


def another_champion_serves(installation):
    """Promote a second artifact with other weights."""
    store = ArtifactStore(installation.state / "artifacts")
    store.promote("demo", another_champion(store)[1])


def test_lost_answer_to_the_create_is_found_on_the_server(installation, sandbox):
    """A create that succeeded but returned an error is confirmed, not repeated."""
    sandbox.faults.add(Fault(operation="create_submission", kind="status", phase="after", status=502))
    result = installation.bot("submit", "--round", "latest")

    assert result.returncode == 0, result.stderr
    assert len(sandbox.tournament.submissions) == 1


def test_refused_storage_is_tried_again_with_a_new_url(installation, sandbox):
    """An upload that the storage refuses is retried and never reported as sent."""
    sandbox.faults.add(Fault(operation="PUT", kind="status", phase="before", status=403))
    result = installation.bot("submit", "--round", "latest")

    assert result.returncode == 0, result.stderr
    assert [one.content for one in held(sandbox)] == [predictions(installation)]


def test_kill_after_the_upload_ends_confirmed_without_a_second_one(installation, sandbox):
    """After a kill between upload and ledger entry, the next run confirms the existing submission."""
    sandbox.faults.add(Fault(operation="create_submission", kind="hang", phase="after", seconds=60))
    with subprocess.Popen(
        installation.command("submit", "--round", "latest"),
        env=installation.environment,
        cwd=installation.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as first:
        assert sandbox.tournament.wait_for(lambda: len(sandbox.tournament.submissions) == 1, timeout_s=LIMIT_S)
        first.send_signal(signal.SIGKILL)
    result = installation.bot("submit", "--round", "latest")

    assert result.returncode == 0, result.stderr
    assert [one.content for one in sandbox.tournament.submissions] == [predictions(installation)]


def test_lost_state_directory_does_not_upload_twice(installation, sandbox, trained):
    """With an empty ledger, the bot adopts its own submission by its token."""
    installation.bot("submit", "--round", "latest")
    before = held(sandbox)[0].id
    for name in installation.state.glob("ledger.sqlite*"):
        name.unlink()
    shutil.rmtree(installation.state / "rounds")
    result = installation.bot("submit", "--round", "latest")

    assert result.returncode == 0, result.stderr
    assert [one.id for one in sandbox.tournament.submissions] == [before]


def test_another_runs_file_keeps_its_author_open(installation, sandbox):
    """With an empty ledger and another champion, the file on the server stays, and this run's artifact is not named for it."""
    installation.bot("submit", "--round", "latest")
    before = held(sandbox)[0]
    for name in installation.state.glob("ledger.sqlite*"):
        name.unlink()
    shutil.rmtree(installation.state / "rounds")
    another_champion_serves(installation)
    result = installation.bot("submit", "--round", "latest")
    (round_,) = json.loads(installation.bot("status", "--json").stdout)["rounds"]

    assert result.returncode == 0, result.stderr
    assert [one.id for one in sandbox.tournament.submissions] == [before.id]
    assert (round_["state"], round_["artifact"], round_["rung"]) == ("confirmed", "unknown", "earlier upload")
    assert before.sha256[:12] in result.stdout
    assert before.filename in result.stdout.replace("\n", "").replace("│", "").replace(" ", "")
    assert "gate" not in result.stdout
    assert not list((installation.state / "rounds").rglob("report.json"))


def test_foreign_submission_is_respected(installation, sandbox):
    """A submission that the bot did not make stays, unless the operator forces a replacement."""
    installation.bot("submit", "--round", "latest", "--dry-run")
    content = predictions(installation, "rounds-dry-run")
    sandbox.tournament.place(SLOT, filename="by-hand.csv", content=content)
    refused = installation.bot("submit", "--round", "latest")
    forced = installation.bot("submit", "--round", "latest", "--force")

    assert (refused.returncode, forced.returncode) == (65, 0)
    assert "by-hand" in refused.stderr
    assert len(held(sandbox)) == 2


def test_force_keeps_what_was_sent_until_gates_pass(installation, sandbox):
    """A forced run that gates refuse writes a draft; the confirmed submission's file and report stay."""
    installation.bot("submit", "--round", "latest")
    report = installation.state / "rounds" / str(FIRST_ROUND) / SLOT / "report.json"
    before = predictions(installation), report.read_bytes()
    another_champion_serves(installation)
    shutil.rmtree(installation.state / "artifacts" / json.loads(before[1])["artifact"])
    result = installation.bot("submit", "--round", "latest", "--force", BOT_MIN_ROWS="100000")

    assert result.returncode == 65
    assert (predictions(installation), report.read_bytes()) == before
    assert report.with_name("draft.csv").read_bytes() != before[0]
    assert [one.content for one in held(sandbox)] == [before[0]]


def test_doctor_names_the_round_that_was_refused(installation):
    """Until a later round is confirmed, the doctor repeats cause and setting of a refusal, and the exit code stays 0."""
    refused = installation.bot("submit", "--round", "latest", BOT_MAX_EXPOSURE="0.01")
    examined = installation.bot("doctor")
    said = " ".join(examined.stdout.split())

    assert (refused.returncode, examined.returncode) == (65, 0)
    assert f"round {FIRST_ROUND}, {SLOT}: refused: exposure" in said
    assert "setting: BOT_MAX_EXPOSURE" in said


def test_wrong_key_names_the_variable(installation):
    """An unknown API key is a configuration error."""
    result = installation.bot("submit", "--round", "latest", NUMERAI_SECRET_KEY="CANARYWRONG")

    assert result.returncode == 78
    assert "NUMERAI_SECRET_KEY" in result.stderr
    assert "CANARYWRONG" not in result.stderr + result.stdout


def test_unknown_slot_lists_the_accounts_slots(installation):
    """The error for an unknown slot lists the account's models."""
    result = installation.bot("submit", "--round", "latest", BOT_SLOTS="stranger=demo")

    assert result.returncode == 78
    assert SLOT in result.stderr


def test_closed_tournament_names_the_next_round(installation, sandbox):
    """Between rounds the command waits for the next opening."""
    sandbox.clock.advance(timedelta(hours=3))
    result = installation.bot("submit", "--round", "latest")

    assert result.returncode == 75
    assert str(FIRST_ROUND + 1) in result.stderr


def test_stale_live_file_is_never_uploaded(installation, sandbox):
    """The last round's live file is refused until the server replaces it."""
    installation.bot("submit", "--round", "latest")
    sandbox.clock.advance(timedelta(days=1))
    sandbox.faults.add(Fault(operation="GET", kind="stale_live", times=99))
    result = installation.bot("submit", "--round", "latest")

    assert result.returncode == 75, result.stderr
    assert [one.round for one in sandbox.tournament.submissions] == [FIRST_ROUND]


def test_truncated_live_file_is_never_uploaded(installation, sandbox):
    """A download that ends early is refused."""
    sandbox.faults.add(Fault(operation="GET", kind="truncate", times=99))
    result = installation.bot("submit", "--round", "latest")

    assert result.returncode == 75, result.stderr
    assert not sandbox.tournament.submissions


def test_flipped_byte_in_the_only_artifact_refuses(installation, sandbox):
    """With a damaged champion and no previous one, nothing is submitted."""
    network = next((installation.state / "artifacts").glob("2*/tsmixer.onnx"))
    content = bytearray(network.read_bytes())
    content[len(content) // 2] ^= 1
    network.write_bytes(bytes(content))
    result = installation.bot("submit", "--round", "latest")

    assert result.returncode == 65
    assert "tsmixer.onnx differs" in result.stderr
    assert not sandbox.tournament.submissions


def test_damaged_champion_gives_way_to_the_one_before(installation, sandbox):
    """With a damaged champion, the previous champion submits the round."""
    store = ArtifactStore(installation.state / "artifacts")
    (sound,) = store.champions("demo")
    whole = store.open(sound)
    files = {name: whole.path(name) for name in whole.manifest["files"]}
    newer = store.write(files=files, manifest=dict(whole.manifest), at=datetime(2026, 12, 1, tzinfo=UTC))
    store.promote("demo", newer.id)
    newer.path("gbm.txt").write_bytes(b"tree")
    result = installation.bot("submit", "--round", "latest")

    assert result.returncode == 0, result.stderr
    assert sound in result.stdout
    assert "ladder.rung" in result.stderr


def test_missing_features_are_named(installation, sandbox, tmp_path):
    """The error for a missing feature names it."""
    sandbox.faults.add(Fault(operation="GET", kind="drop_features", times=99))
    result = installation.bot("submit", "--round", "latest")

    assert result.returncode == 65
    assert "feature_" in result.stderr


def test_nothing_trained_is_said_so(installation):
    """Without a champion, the error suggests a command."""
    shutil.rmtree(installation.state / "artifacts")
    result = installation.bot("submit", "--round", "latest")

    assert result.returncode == 78
    assert "bot retrain" in result.stderr


def test_no_error_shows_a_traceback(installation, sandbox):
    """An expected error is one line."""
    sandbox.clock.advance(timedelta(hours=3))
    result = installation.bot("submit", "--round", "latest")

    assert "Traceback" not in result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith("error:")]) == 1


@pytest.mark.parametrize("name", ["v5.3/live.parquet", f"{SLOT}/predictions.csv", f"{SLOT}/report.json"])
def test_round_leaves_its_evidence(installation, name):
    """The files of a round stay on disk."""
    installation.bot("submit", "--round", "latest")

    assert hashlib.sha256((installation.state / "rounds" / str(FIRST_ROUND) / name).read_bytes()).hexdigest()


def test_a_submission_never_loads_training_libraries(installation):
    """`bot submit` imports neither torch nor scikit-learn nor scipy.stats."""
    script = (
        "import sys, bot.cli.main\n"
        "sys.argv = ['bot', 'submit', '--round', 'latest']\n"
        "try:\n    bot.cli.main.main()\n"
        "finally:\n    print('LOADED', sorted({'torch', 'sklearn', 'scipy.stats', 'lightgbm'} & set(sys.modules)))\n"
    )
    result = installation.python("-c", script)

    assert "confirmed" in result.stdout
    assert "LOADED []" in result.stdout


def test_readme_shows_the_receipt_that_is_printed(installation):
    """The receipt in the README has the rows that a submission prints."""
    printed = labels(installation.bot("submit", "--round", "latest").stdout)
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")

    assert printed
    assert labels(readme[readme.index("$ bot submit") :]) == printed


def labels(text):
    """Return the first cell of each row of a receipt."""
    return re.findall(r"^│ (\w[\w ]*?) +│ (?!CORR| *-?\d\.\d+ │)", text, re.MULTILINE)
