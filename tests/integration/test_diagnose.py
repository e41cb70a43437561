"""`bot diagnose`: the champion's validation predictions go to Numerai's diagnostics, and both scores are compared."""

import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot import assembly
from bot.errors import DatasetIncomplete, NumeraiUnavailable, RetryLater
from bot.judging.numerai_diagnostics import PATIENCE_S, TOLERANCE, Diagnoser, compare_scores
from bot.record.diagnostics import DiagnosticsRecord
from bot.record.outbox import Outbox
from bot.sandbox._queries import Queries
from bot.sandbox.faults import Fault
from bot.sandbox.tournament import DEMO_ACCOUNT
from bot.serving.artifacts import ArtifactStore
from bot.system.kill_points import listening
from bot.tournament.client import NumeraiClient
from bot.tournament.slots import Slot
from bot.web.status import overview
from tests.harness.installation import SLOT

pytestmark = pytest.mark.usefixtures("no_backoff")
OURS = Slot(name=SLOT, model_id=DEMO_ACCOUNT.models[SLOT], recipe="demo")


class Bench:
    """A trained state directory, the sandbox, and a diagnoser that counts its waits instead of sleeping."""

    def __init__(self, root, trained, sandbox):
        self.state, self.sandbox, self.waited = root / "state", sandbox, []
        shutil.copytree(trained, self.state, copy_function=os.link)
        # What is written anew must not reach what other tests share.
        for path in [*self.state.glob("*.sqlite*"), *self.state.glob("*.lock"), *self.state.glob("*.holder")]:
            path.unlink()
        self.artifacts = ArtifactStore(self.state / "artifacts")
        self.path = self.state / "ledger.sqlite"
        self.record, self.outbox = DiagnosticsRecord(self.path), Outbox(self.path)
        self.outbox.register(["operator"])
        self.identity = self.artifacts.champions("demo")[0]

    @property
    def held(self):
        return self.sandbox.tournament.diagnostics

    @property
    def result(self):
        """The sandbox's only diagnostics."""
        (held,) = self.held.values()
        return held["result"]

    def diagnose(self, **options):
        client = NumeraiClient(
            api_url=self.sandbox.url, public_id=DEMO_ACCOUNT.public_id, secret_key=DEMO_ACCOUNT.secret_key
        )
        diagnoser = Diagnoser(
            client=client, record=self.record, outbox=self.outbox, artifacts=self.artifacts, state_dir=self.state,
            wait=self.wait,
        )  # fmt: skip
        return diagnoser.diagnose(self.identity, OURS, **options)

    def wait(self, seconds):
        self.waited.append(seconds)

    def forget_the_answer(self):
        """Let the next run poll the upload again."""
        self.record.keep(replace(self.record.get(self.identity), state="sent"))


@pytest.fixture
def bench(tmp_path, trained, sandbox):
    return Bench(tmp_path, trained, sandbox)


def test_both_sides_agree_and_it_is_asked_once(bench):
    """CORR, BMC and MMC of every era equal Numerai's to 1e-7; pending is polled, and a second run sends no request."""
    found = bench.diagnose()
    requests = len(bench.held)
    again = bench.diagnose()

    assert (found.state, again) == ("agrees", found)
    assert requests == len(bench.held) == 1
    assert bench.waited == [1.0]
    assert set(found.ours) == {"corr", "bmc", "mmc"}
    assert len(found.ours["corr"]) == len(bench.result["per_era_diagnostics"]) > 80
    for score, values in found.ours.items():
        assert {era: found.theirs[score][era] for era in values} == pytest.approx(values, abs=1e-7)
    assert bench.outbox.open_alerts() == {}


def test_a_tampered_result_gives_one_alert(bench):
    """One era with another score differs: ledger, status and one alert name it; the next agreement closes the alert."""
    bench.diagnose()
    bench.result["per_era_diagnostics"][3]["validation_corr_v4"] += 2 * TOLERANCE
    era = bench.result["per_era_diagnostics"][3]["era"]
    bench.forget_the_answer()
    found = bench.diagnose()
    bench.diagnose()
    shown = overview(bench.state, bench.path, now=datetime.now(UTC))

    assert found.state == "differs"
    assert f"CORR differs in 1 of {len(found.ours['corr'])} eras by up to 0.0020 (era {era}:" in found.verdict
    assert shown["diagnostics"][bench.identity]["verdict"] == found.verdict
    assert list(bench.outbox.open_alerts()) == ["diagnostics demo"]
    assert bench.outbox.waiting() == 1
    bench.result["per_era_diagnostics"][3]["validation_corr_v4"] -= 2 * TOLERANCE
    bench.forget_the_answer()
    bench.diagnose()
    assert bench.outbox.open_alerts() == {}
    assert len(bench.held) == 1


@pytest.mark.parametrize("moment", ["upload.grant:after", "upload.put:after", "upload.create:after"])
def test_killed_on_the_way_it_is_uploaded_once(bench, moment):
    """After a kill at any step of the upload, the next run uploads only if the server has no upload."""

    class Killed(BaseException):
        pass

    def kill(name):
        if name == moment:
            raise Killed

    with listening(kill), pytest.raises(Killed):
        bench.diagnose()
    intended = bench.record.get(bench.identity)
    found = bench.diagnose()

    assert (intended.state, found.state) == ("intended", "agrees")
    assert len(bench.held) == 1


def test_a_lost_ledger_uploads_nothing_twice(bench):
    """Without the ledger, an earlier upload is found by its file name."""
    bench.diagnose()
    for name in ("-wal", "-shm", ""):
        (bench.path.parent / f"{bench.path.name}{name}").unlink(missing_ok=True)
    bench.record, bench.outbox = DiagnosticsRecord(bench.path), Outbox(bench.path)
    found = bench.diagnose()

    assert (found.state, len(bench.held)) == ("agrees", 1)


def test_force_asks_again(bench):
    """The same predictions are uploaded again only when that is forced."""
    bench.diagnose()

    assert bench.diagnose(force=True).state == "agrees"
    assert len(bench.held) == 2


def test_what_is_not_done_is_left_for_later_and_not_uploaded_again(bench, monkeypatch):
    """After ten minutes of polling the run ends with `try later`; the next one polls the same diagnostics."""
    pending = {"status": "running", "message": None}
    monkeypatch.setattr(Queries, "diagnosed", lambda _self, _held: pending)
    with pytest.raises(RetryLater, match=r"are running after 6\d\d s"):
        bench.diagnose()
    assert sum(bench.waited) >= PATIENCE_S
    monkeypatch.undo()

    assert bench.diagnose().state == "agrees"
    assert len(bench.held) == 1


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("operation", ["PUT", "create_diagnostics"])
def test_answers_that_fail_leave_it_for_later(bench, operation, phase):
    """After a failed upload, also one that the server committed, the next run ends with one upload."""
    bench.sandbox.faults.add(Fault(operation=operation, kind="status", phase=phase))
    with pytest.raises(NumeraiUnavailable):
        bench.diagnose()

    assert bench.diagnose().state == "agrees"
    assert len(bench.held) == 1


def test_a_refusal_is_a_conclusion(bench):
    """A refusal by Numerai is recorded with its message, and the predictions are not sent again."""
    bench.diagnose()
    (held,) = bench.held.values()
    held["result"] = {"status": "failed", "message": "invalid_submission_eras: Incomplete eras uploaded: ['0190']"}
    bench.forget_the_answer()
    found, again = bench.diagnose(), bench.diagnose()

    assert (found.state, again) == ("refused", found)
    assert "Incomplete eras uploaded" in found.verdict
    assert list(bench.outbox.open_alerts()) == ["diagnostics demo"]


def test_without_the_history_nothing_is_asked_for(bench):
    """Without the store on this disk a run is refused, and the daemon does not start one."""
    shutil.rmtree(bench.state / "store")
    with pytest.raises(DatasetIncomplete, match="run `bot sync`"):
        bench.diagnose()

    assert bench.held == {}


def test_command_and_chore(installation, trained):
    """The daemon runs it for a champion with local history until there is a result; a dry run uploads nothing."""
    settings = installation.settings_as()
    bare = assembly.undiagnosed(settings, ("demo",))
    shutil.copytree(trained / "store", installation.state / "store", copy_function=os.link)
    shutil.copytree(trained / "data", installation.state / "data", copy_function=os.link)
    wanted = assembly.undiagnosed(settings, ("demo", "standard"))
    rehearsed = installation.bot("diagnose", BOT_MODE="dry-run")
    held = len(installation.sandbox.tournament.diagnostics)
    done = installation.bot("diagnose")
    again = installation.bot("diagnose")
    shown = installation.bot("status")

    assert (bare, len(wanted), held) == ((), 1, 0)
    assert rehearsed.returncode == done.returncode == again.returncode == 0, done.stderr
    assert rehearsed.stdout.startswith("dry run: nothing is uploaded")
    assert done.stdout.startswith(f"{wanted[0]}: agrees: ")
    assert again.stdout.startswith("Numerai's diagnostics of every champion are known")
    assert f"diagnosis {wanted[0]}: agrees" in shown.stdout
    assert assembly.undiagnosed(settings, ("demo",)) == ()


@pytest.mark.parametrize(
    ("theirs", "state"),
    [
        ({"corr": {"0001": 0.01, "0002": 0.02}}, "agrees"),
        ({"corr": {"0001": 0.01 + 0.9 * TOLERANCE, "0002": 0.02}}, "agrees"),
        ({"corr": {"0001": 0.01 + 1.1 * TOLERANCE, "0002": 0.02}}, "differs"),
        ({"corr": {"0001": 0.01, "0002": 0.02}, "bmc": {"0002": 0.0}}, "agrees"),
        ({"corr": {"0001": 0.01, "0002": 0.02}, "bmc": {"0001": 0.0}}, "differs"),
        ({"corr": {"0001": 0.01}}, "differs"),
        ({}, "differs"),
    ],
)
def test_scores_are_compared_where_both_sides_have_them(theirs, state):
    """Scores are compared in eras that both sides have, which must be most; a gap over the tolerance differs."""
    verdict = compare_scores({"corr": {"0001": 0.01, "0002": 0.02}, "bmc": {"0001": 0.005}}, theirs)

    assert verdict.agrees == (state == "agrees")
