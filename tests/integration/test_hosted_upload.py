"""A checked pickle is uploaded, validated, assigned, read back and looked at every day; each failure leaves the slot as it was."""

import hashlib
import json
import os
import signal
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from numerapi.utils import is_valid_uuid

from bot.cli.json_answers import ANSWERS
from bot.errors import BadConfig, BadCredentials, OperatorNeeded, RefuseToSubmit, RetryLater
from bot.hosted.export import Agreement, Checked, Export
from bot.hosted.upload import AGAIN, Uploader, _option, find_runtime, upload_name
from bot.live.hosted_slots import warn_hosted
from bot.record.hosted import HostedRecord
from bot.record.ledger import Ledger
from bot.record.outbox import Outbox
from bot.sandbox import _hosting
from bot.sandbox._events import cause
from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import Fault
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import DEMO_ACCOUNT
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from bot.system.kill_points import listening
from bot.tournament.client import NumeraiClient
from tests.harness.installation import FIRST_ROUND, LIMIT_S, OPENED, SLOT
from tests.harness.json_types import differences

HOSTED = "sandbox_hosted"
MODEL = "5a9db0c5-0000-4000-8000-00000000000b"
OWNER = replace(DEMO_ACCOUNT, models={HOSTED: MODEL, **DEMO_ACCOUNT.models})
LASTS_S = 1e6


@pytest.fixture
def sandbox(world_folder):
    """A tournament in which the account has a second model, that the bot does not fill."""
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    with Sandbox(World.open(world_folder), clock=clock, schedule=schedule, accounts=(OWNER,)) as running:
        yield running


class Bench:
    """An uploader that counts its waits instead of sleeping, and the sandbox's side."""

    def __init__(self, root, sandbox):
        self.root, self.sandbox, self.waited = root, sandbox, []
        self.path = root / "ledger.sqlite"
        self.client = NumeraiClient(api_url=sandbox.url, public_id=OWNER.public_id, secret_key=OWNER.secret_key)
        self.record, self.outbox = HostedRecord(self.path), Outbox(self.path)
        self.outbox.register(["operator"])

    @property
    def tournament(self):
        return self.sandbox.tournament

    @property
    def running(self):
        """Id of the pickle that the slot runs, ``None`` for none."""
        found = self.tournament.hosted.get(MODEL)
        return None if found is None else found.id

    def made(self, content=b"pickle one", artifact="20261124-one", **changed):
        """A checked pickle on disk."""
        path = self.root / f"{artifact}.pkl"
        path.write_bytes(content)
        agreement = Agreement(rows=9, moved=0, furthest=0.0, correlation=1.0)
        about = {
            "path": str(path), "sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "artifact": artifact,
            "members": {"gbm": 1.0}, "python": "3.11", "data_version": "v5.3", "arguments": 1, "stale_after": None,
            "packages": {}, "checked": Checked(agreement=agreement, seconds=1.0, peak_bytes=1, remark=""),
        }  # fmt: skip
        return Export(**about | changed)

    def upload(self, made, *, wait_s=600.0):
        uploader = Uploader(
            client=self.client, record=self.record, account="", wait_s=wait_s, wait=self.waited.append,
            runtime=find_runtime(self.client, data_version=made.data_version),
        )  # fmt: skip
        return uploader.upload(made, HOSTED, MODEL)

    def happen(self, kind, message="", seconds=LASTS_S):
        cause(self.tournament, Fault(operation="*", kind=kind, seconds=seconds, message=message))

    def end(self, kind):
        self.tournament.conditions.pop(kind)

    def next_round(self):
        """Let the open round be seen and close, and the next one open."""
        ledger = Ledger(self.path)
        self.sandbox.clock.set(self.tournament.upcoming().opens_at + timedelta(minutes=1))
        ledger.record_round(self.client.current_round())
        self.client.hosted_models()
        self.sandbox.clock.set(self.tournament.current().closes_at + timedelta(minutes=1))
        ledger.close()

    def watch(self):
        ledger = Ledger(self.path)
        try:
            return warn_hosted(self.client, ledger, "")
        finally:
            ledger.close()


@pytest.fixture
def bench(tmp_path, sandbox, no_backoff):
    return Bench(tmp_path, sandbox)


def test_the_slot_runs_the_pickle_that_was_uploaded(bench):
    """Upload, validation, assignment and read-back follow each other; the record and the server name the same pickle."""
    made = bench.made()
    done = bench.upload(made)
    (kept,) = bench.record.all()
    (stored,) = [one for name, one in bench.tournament.uploaded.items() if name.startswith(upload_name(made)[:-4])]

    assert stored == b"pickle one"
    assert done.pickle == bench.running == kept.pickle
    assert (done.validation, done.replaced, kept.state, kept.detail) == ("validated", "", "assigned", "")
    assert [step.split()[0] for step in done.steps] == ["uploaded", "Numerai", HOSTED]
    assert bench.waited == [1.0]


def test_a_slot_whose_name_is_another_models_now_runs_the_pickle(bench):
    """After models were renamed on Numerai, the pickle goes to the model that has the name, not to that of the record."""
    made = bench.made()
    done = bench.upload(made)
    kept = bench.record.get(HOSTED, made.sha256)
    bench.record.keep(replace(kept, model_id="the model before"), at=datetime.now(UTC))
    bench.tournament.hosted.clear()
    again = bench.upload(made)

    assert bench.record.get(HOSTED, made.sha256).model_id == MODEL
    assert again.pickle == bench.running == done.pickle


def test_a_second_run_changes_nothing(bench):
    """A pickle that the slot runs already is neither uploaded nor assigned again, and is said to run."""
    first = bench.upload(bench.made())
    requests = len(bench.tournament.uploaded)
    again = bench.upload(bench.made())

    assert (again.pickle, again.steps[-1]) == (first.pickle, f"{HOSTED} runs pickle {first.pickle} already")
    assert len(bench.tournament.uploaded) == requests == 1


def test_a_pickle_is_replaced_by_the_next(bench):
    """The earlier pickle runs until the next one is assigned, which names it; the record keeps both."""
    first = bench.upload(bench.made())
    second = bench.upload(bench.made(b"pickle two", "20261125-two"))

    assert (bench.running, second.replaced) == (second.pickle, first.filename)
    assert {one.artifact: one.state for one in bench.record.all()} == {
        "20261124-one": "replaced",
        "20261125-two": "assigned",
    }


def nothing(bench, monkeypatch):
    pass


def key_without_scope(bench, monkeypatch):
    scopes = tuple(one for one in OWNER.scopes if one != "upload_submission")
    bench.tournament.accounts = (replace(OWNER, scopes=scopes),)


def key_that_hides_its_scopes(bench, monkeypatch):
    key_without_scope(bench, monkeypatch)
    monkeypatch.setattr(NumeraiClient, "scopes", lambda _self: frozenset({"upload_submission"}))


def too_large(bench, monkeypatch):
    bench.sandbox.faults.add(Fault(operation="PUT", kind="status", status=413))


def upload_refused(bench, monkeypatch):
    message = "pickles of this account are disabled"
    bench.sandbox.faults.add(Fault(operation="create_compute_pickle_upload", kind="graphql_error", message=message))


def validation_fails(bench, monkeypatch):
    bench.happen("pickle_fails", "ModuleNotFoundError: no module named 'x'")


def validation_fails_silently(bench, monkeypatch):
    bench.happen("pickle_fails")


def validation_never_ends(bench, monkeypatch):
    bench.happen("pickle_hangs")


def no_data_version(bench, monkeypatch):
    monkeypatch.setattr("bot.sandbox._queries.VERSIONS", {"v5.2": "id", "v5.1": "id"})


def no_image(bench, monkeypatch):
    monkeypatch.setattr("bot.sandbox._queries.IMAGES", {"Python 3.8": "id"})


def assignment_refused(bench, monkeypatch):
    message = "disable compute on this model first"
    bench.sandbox.faults.add(Fault(operation="assign_pickle_to_model", kind="graphql_error", message=message))


def assignment_fails(bench, monkeypatch):
    bench.sandbox.faults.add(Fault(operation="assign_pickle_to_model", kind="graphql_error"))


def another_is_assigned(bench, monkeypatch):
    # Of the queries for the account, the first two are for the scopes and for what the slot runs.
    bench.sandbox.faults.add(Fault(operation="account", kind="pickle_replaced", skip=2))


def storage_fails(bench, monkeypatch):
    bench.sandbox.faults.add(Fault(operation="PUT", kind="status", status=500))


FAILURES = {
    "no scope": (key_without_scope, BadCredentials, r"lacks the scope upload_submission; create one .* numer.ai/account"),
    "no permission": (key_that_hides_its_scopes, BadCredentials, r"Numerai refuses the API key \(Insufficient permissions"),
    "too large": (too_large, RefuseToSubmit, r"takes no file of 0.0 MB \(status 413\); it must be smaller; \S+ runs old"),
    "refused": (upload_refused, RefuseToSubmit, r"refuses the pickle: pickles of this account are disabled; .* runs old"),
    "validation fails": (validation_fails, RefuseToSubmit, r"pickle \S+ failed: ModuleNotFoundError: no module named 'x'"),
    "validation fails silently": (validation_fails_silently, RefuseToSubmit, r"validation of pickle \S+ failed: failed; "),
    "validation never ends": (validation_never_ends, RetryLater, r"not validated pickle \S+ within 10 minutes \(pending\);"),
    "no data version": (no_data_version, BadConfig, r"no uploaded models on data version v5.3, only on v5.2, v5.1; wait"),
    "no image": (no_image, BadConfig, r"Numerai has no image for Python 3.1\d, only Python 3.8; export with such a Python"),
    "assignment refused": (assignment_refused, OperatorNeeded, r"disable compute on this model first; \S+ runs old.pkl \("),
    "assignment fails": (assignment_fails, RetryLater, r"validated but not assigned: .*Internal server error; .* runs old"),
    "another is assigned": (another_is_assigned, RetryLater, r"assigned pickle \S+ to \S+, but \S+ runs by-hand.pkl \("),
    "storage fails": (storage_fails, RetryLater, r"the pickle was not uploaded: .* answered 500 .*; run the same command"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_one_line_and_leaves_the_slot_as_it_was(bench, monkeypatch, name):
    """Whatever Numerai refuses, the slot runs what it ran before; without the failure the next run ends well."""
    fail, error, line = FAILURES[name]
    before = bench.tournament.host(HOSTED, "old.pkl").id
    with monkeypatch.context() as patch:
        fail(bench, patch)
        with pytest.raises(error, match=line) as raised:
            bench.upload(bench.made())
    by_hand = name == "another is assigned"
    after = bench.running
    bench.tournament.conditions.clear()
    bench.tournament.accounts = (OWNER,)
    done = bench.upload(bench.made())

    assert (after == before) != by_hand
    assert type(raised.value) in (error, *error.__subclasses__())
    assert "\n" not in str(raised.value)
    assert "Signature" not in str(raised.value)
    assert bench.running == done.pickle


def test_a_validation_that_never_ends_is_waited_for_again(bench):
    """After the longest wait the command ends; the next one waits for the same pickle and uploads nothing."""
    bench.happen("pickle_hangs")
    with pytest.raises(RetryLater, match=AGAIN):
        bench.upload(bench.made(), wait_s=90.0)
    waited, (kept,) = sum(bench.waited), bench.record.all()  # less by the time that the looks took
    bench.end("pickle_hangs")
    done = bench.upload(bench.made())

    assert (0.0 < waited <= 90.0, kept.state) == (True, "uploaded")
    assert done.steps[0] == f"pickle {kept.pickle} is on the server already and is not uploaded again"
    assert len(bench.tournament.pickles) == 1


def test_a_refused_pickle_is_uploaded_again_and_says_so(bench):
    """An upload that the validation refused does not count as one; the record has Numerai's reason until then."""
    bench.happen("pickle_fails", "out of memory")
    with pytest.raises(RefuseToSubmit, match="out of memory"):
        bench.upload(bench.made())
    (kept,) = bench.record.all()
    bench.end("pickle_fails")
    done = bench.upload(bench.made())

    assert (kept.state, kept.detail) == ("refused", "out of memory")
    assert done.steps[0] == "Numerai refused an earlier upload of this pickle: it is uploaded again"
    assert len(bench.tournament.pickles) == 2


def test_looks_that_fail_do_not_end_the_wait(bench):
    """While it waits, answers that fail cost a look each."""
    bench.sandbox.faults.add(Fault(operation="compute_pickles", kind="bad_gateway", skip=1, times=8))

    assert bench.upload(bench.made()).pickle == bench.running
    assert len(bench.waited) == 3


@pytest.mark.parametrize("operation", ["create_compute_pickle_upload", "assign_pickle_to_model"])
@pytest.mark.parametrize("kind", ["reset", "bad_gateway", "graphql_error"])
def test_an_effect_whose_answer_is_lost_is_found(bench, operation, kind):
    """An upload or assignment that the server made without an answer is found at once, and not made again."""
    bench.sandbox.faults.add(Fault(operation=operation, kind=kind, phase="after"))
    done = bench.upload(bench.made())

    assert (bench.running, len(bench.tournament.pickles)) == (done.pickle, 1)


def test_an_assignment_that_answers_false_is_refused(bench, monkeypatch):
    """An answer `false` without an error is a refusal, too."""
    monkeypatch.setattr("bot.sandbox._queries.Queries._assign_pickle_to_model", lambda *_: "false")
    with pytest.raises(OperatorNeeded, match="it answered false; sandbox_hosted runs no pickle"):
        bench.upload(bench.made())


def test_only_what_was_checked_is_uploaded(bench):
    """A pickle without a check, or whose file has changed since, is refused and never reaches the server."""
    unchecked, changed = bench.made(checked=None), bench.made()
    with pytest.raises(RefuseToSubmit, match="was not checked"):
        bench.upload(unchecked)
    (bench.root / "20261124-one.pkl").write_bytes(b"another")
    with pytest.raises(RefuseToSubmit, match="is not the pickle that was checked"):
        bench.upload(changed)

    assert bench.tournament.uploaded == {}


class Killed(BaseException):
    """The process ends here."""


def test_killed_anywhere_the_next_run_ends_it(bench):
    """After a kill at any effect, the next run lets the slot run the pickle, says how, and uploads no validated one again."""
    passed, ways = [], set()
    with listening(passed.append):
        bench.upload(bench.made(b"undisturbed", "20261101-undisturbed"))
    wanted = [name for name in passed if not name.startswith(("ledger.", "file."))]
    for nth, name in enumerate(wanted):
        made, seen = bench.made(f"pickle {nth}".encode(), f"20261102-{nth}"), []

        def kill(reached, seen=seen, nth=nth):
            if not reached.startswith(("ledger.", "file.")):
                seen.append(reached)
                if len(seen) == nth + 1:
                    raise Killed

        before, held = bench.running, len(bench.tournament.pickles)
        with listening(kill), pytest.raises(Killed):
            bench.upload(made)
        was_assigned = bench.running != before
        done = bench.upload(made)
        uploads = len(bench.tournament.pickles) - held
        ways.add(done.steps[0].split("pickle", 1)[-1].split(" ", 2)[-1])

        assert seen[-1] == name
        assert (bench.running, uploads) == (done.pickle, 1), name
        assert was_assigned == done.steps[-1].endswith("already")

    assert {"pickle.assign:before", "upload.put:after", "upload.create:after", "hosted.keep:after"} <= set(wanted)
    assert any("not uploaded again" in way for way in ways)


def test_a_run_cut_off_before_the_upload_says_that_it_uploads_again(bench):
    """A file in the storage that became no pickle counts for nothing."""

    def kill(name):
        if name == "upload.put:after":
            raise Killed

    with listening(kill), pytest.raises(Killed):
        bench.upload(bench.made())
    done = bench.upload(bench.made())

    assert done.steps[0] == "an earlier run was interrupted before the upload was complete: it is uploaded again"
    assert len(bench.tournament.pickles) == 1


def test_without_the_ledger_the_pickle_is_found_by_its_name(bench):
    """The digest in the name of the file is enough to find an upload."""
    bench.happen("pickle_hangs")
    with pytest.raises(RetryLater):
        bench.upload(bench.made(), wait_s=0.0)
    bench.end("pickle_hangs")
    bench.record = HostedRecord(bench.root / "another.sqlite")
    done = bench.upload(bench.made())

    assert "not uploaded again" in done.steps[0]
    assert len(bench.tournament.pickles) == 1


@pytest.fixture
def hosted(bench):
    """A bench whose slot runs a pickle."""
    bench.upload(bench.made())
    return bench


def test_a_slot_that_submits_is_no_alarm(hosted):
    """After a round to which the pickle submitted, the look is recorded and nothing is alerted."""
    before = hosted.watch()
    hosted.next_round()
    after, (kept,) = hosted.watch(), hosted.record.all()

    assert (before, after, kept.detail) == ((), (), "")
    assert datetime.fromisoformat(kept.checked_at) > hosted.tournament.schedule.round(FIRST_ROUND + 1).closes_at
    assert hosted.outbox.open_alerts() == {}


def fails(bench):
    bench.happen("hosted_fails", "the model ran longer than 600 s")


def is_silent(bench):
    bench.happen("hosted_silent")


def is_taken_off(bench):
    bench.tournament.hosted.clear()


@pytest.mark.parametrize(
    ("happens", "line"),
    [
        (fails, "Numerai reports that its pickle failed: the model ran longer than 600 s"),
        (is_silent, f"its pickle did not submit to round {FIRST_ROUND + 1}"),
        (is_taken_off, "Numerai runs no pickle for it any more"),
    ],
)
def test_a_slot_that_does_not_submit_is_one_alert(hosted, happens, line):
    """A failure is one warning a look and one alert until it is over; the alert names the command that replaces it."""
    held = dict(hosted.tournament.hosted)
    happens(hosted)
    hosted.next_round()
    found, again = hosted.watch(), hosted.watch()
    (alert,) = hosted.outbox.problems()
    hosted.tournament.conditions.clear()
    hosted.tournament.hosted.update(held)
    hosted.next_round()
    over = hosted.watch()

    assert found == again == (f"{HOSTED}: {line}",)
    assert (alert.name, alert.title) == (f"hosted {HOSTED}", found[0])
    assert f"`bot export numerai-model --upload --slot {HOSTED}` replaces it" in alert.body
    assert (over, hosted.outbox.open_alerts()) == ((), {})


def test_a_pickle_that_somebody_else_assigned_is_shown_and_no_alarm(hosted):
    """A slot that runs a foreign pickle is not the bot's any more: the record says so, and an open alert ends."""
    hosted.happen("hosted_silent")
    hosted.next_round()
    hosted.watch()
    hosted.tournament.host(HOSTED, "mine.pkl")
    found = hosted.watch()

    assert (found, hosted.outbox.open_alerts()) == ((), {})
    assert hosted.record.all()[0].detail == f"{HOSTED} runs mine.pkl now, which the bot did not upload"


def test_a_look_that_fails_is_a_warning_only(hosted):
    """Where Numerai does not answer, nothing is raised, alerted or recorded."""
    hosted.sandbox.faults.add(Fault(operation="account", kind="bad_gateway", times=50))

    assert hosted.watch() == ()
    assert hosted.outbox.open_alerts() == {}
    assert hosted.record.all()[0].checked_at is None


def test_a_slot_that_cannot_be_looked_at_hides_no_other(hosted):
    """Where the query for one slot fails, the others are looked at."""
    (kept,) = hosted.record.all()
    hosted.record.keep(replace(kept, slot="a_gone", model_id="gone"), at=datetime.now(UTC))
    hosted.tournament.accounts = (replace(OWNER, models={"a_gone": "gone", **OWNER.models}),)
    hosted.tournament.hosted["gone"] = hosted.tournament.hosted[MODEL]
    hosted.next_round()
    hosted.sandbox.faults.add(Fault(operation="submissions", kind="graphql_error", times=4))

    assert hosted.watch() == ()
    assert [one.slot for one in hosted.record.all() if one.checked_at] == [HOSTED]


def test_a_record_without_pickles_asks_nothing(bench):
    """Without a pickle of the bot, the daily look sends no query."""
    bench.sandbox.faults.add(Fault(operation="*", kind="bad_gateway", times=1))

    assert bench.watch() == ()
    assert len(bench.sandbox.faults._pending) == 1
    assert bench.sandbox.faults._pending[0].times == 1


@pytest.fixture
def bot(installation, elsewhere):
    """An installation with one slot of its own, and another one that Numerai is to run."""
    installation.settings["BOT_SLOTS"] = f"{SLOT}=demo"

    def run(*options, **settings):
        return installation.bot("export", "numerai-model", "--python", str(elsewhere), *options, **settings)

    installation.export = run
    return installation


UPLOAD = ("--upload", "--slot", HOSTED)


def other_artifact(state):
    """The champion with other ensemble weights."""
    store = ArtifactStore(state / "artifacts")
    champion = store.open(store.champions("demo")[0])
    files = {name: champion.path(name) for name in champion.manifest["files"]}
    manifest = {**champion.manifest, "weights": {"tsmixer": 0.7, "gbm": 0.3}}
    return champion, store.write(files=files, manifest=manifest, at=datetime(2026, 12, 1, tzinfo=UTC))


def test_the_whole_of_it(bot):
    """Two champions go the whole way: uploaded, validated, assigned, read back, shown, looked at, and then replaced."""
    champion, other = other_artifact(bot.state)
    first = bot.export(*UPLOAD, "--artifact", champion.id)
    hosted = bot.sandbox.tournament.hosted[MODEL]
    shown = bot.bot("status").stdout
    bot.bot("scores")
    looked = json.loads(bot.bot("status", "--json").stdout)["hosted"]
    second = bot.export(*UPLOAD, "--artifact", other.id, "--json")
    about = json.loads(second.stdout)
    wrong = list(differences(about, ANSWERS["export numerai-model"]))
    after = json.loads(bot.bot("status", "--json").stdout)["hosted"]

    assert first.returncode == 0, first.stderr
    assert wrong == []
    assert f"uploaded as pickle {hosted.id} for Python 3." in first.stdout
    assert f"{HOSTED} runs pickle {hosted.id}, as Numerai confirms" in first.stdout
    assert f"hosted    {HOSTED}: runs, artifact {champion.id}, pickle {hosted.id}, since" in shown
    assert (looked[0]["state"], looked[0]["detail"], looked[0]["checked_at"] is None) == ("assigned", "", False)
    assert second.returncode == 0, second.stderr
    assert about["hosting"]["pickle"] == bot.sandbox.tournament.hosted[MODEL].id != hosted.id
    assert about["hosting"]["replaced"] == hosted.filename
    assert about["export"]["checked"]["agreement"]["rows"] == 227
    assert [(one["artifact"], one["state"]) for one in after] == [(other.id, "assigned")]
    assert [one.model_id for one in bot.sandbox.tournament.submissions] == [MODEL]


def test_killed_while_it_waits_the_command_goes_on(bot, elsewhere):
    """After `kill -9` during the validation, the same command neither checks nor uploads the pickle again."""
    tournament = bot.sandbox.tournament
    cause(tournament, Fault(operation="*", kind="pickle_hangs", seconds=LASTS_S))
    command = bot.command("export", "numerai-model", "--python", str(elsewhere), *UPLOAD)
    with subprocess.Popen(command, env=bot.environment, cwd=bot.root, stderr=subprocess.PIPE) as running:
        uploaded = tournament.wait_for(lambda: bool(tournament.pickles), timeout_s=LIMIT_S)
        os.kill(running.pid, signal.SIGKILL)
    (pickle,) = tournament.pickles
    unassigned = dict(tournament.hosted)
    tournament.conditions.clear()
    done = bot.export(*UPLOAD, "--python", "/bin/false")

    assert (uploaded, unassigned) == (True, {})
    assert done.returncode == 0, done.stderr
    assert f"pickle {pickle.id} is on the server already and is not uploaded again" in done.stdout
    assert (len(tournament.pickles), tournament.hosted[MODEL].id) == (1, pickle.id)


REFUSED = {
    "dry run": (UPLOAD, {"BOT_MODE": "dry-run"}, 78, "error: BOT_MODE is dry-run, which changes nothing at Numerai; set BOT_"),
    "filled": (("--upload", "--slot", SLOT), {}, 78, f"error: slot {SLOT} submits by API, which a Model Upload would shut"),
    "unknown": (("--upload", "--slot", "nobody"), {}, 78, "error: slot 'nobody' is not a model of this account; its models:"),
    "check fails": ((*UPLOAD, "--python", "/bin/false"), {}, 65, "error: the model does not run on Numerai's machine: "),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_here_reaches_no_server(bot, name):
    """A dry run, a slot that the bot fills, an unknown slot and a failed check are one line each; nothing is uploaded."""
    options, settings, code, line = REFUSED[name]
    done = bot.export(*options, **settings)

    assert (done.returncode, bot.sandbox.tournament.uploaded) == (code, {})
    assert [one[: len(line)] for one in done.stderr.splitlines() if one.startswith("error")] == [line]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--upload",), "--upload needs --slot NAME"),
        ((*UPLOAD, "--no-check"), "--upload uploads only what was checked"),
    ],
)
def test_options_that_contradict_are_a_usage_error(bot, options, line):
    """An upload needs a slot and a check."""
    done = bot.export(*options)

    assert done.returncode == 2
    assert line in " ".join(done.stderr.replace("│", " ").split())


def test_nothing_is_uploaded_without_the_flag(bot):
    """With a free slot and all else as for an upload, the command without `--upload` sends nothing."""
    done = bot.export("--slot", HOSTED)

    assert done.returncode == 0, done.stderr
    assert "or let --upload --slot NAME do it." in done.stdout
    assert (bot.sandbox.tournament.uploaded, bot.sandbox.tournament.hosted) == ({}, {})


def test_names_of_images_are_matched_as_words():
    """Python 3.1 is not Python 3.11, and the sandbox's ids are ids that numerapi accepts."""
    assert _option(_hosting.IMAGES, "3.11") == "Python 3.11"
    assert _option(_hosting.IMAGES, "3.1") is None
    assert all(map(is_valid_uuid, (*_hosting.IMAGES.values(), *_hosting.VERSIONS.values())))
