"""The first day: a small model fills rounds until the slot's own recipe has a champion."""

import json
import shutil
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
import structlog

from bot import assembly
from bot.cli.models import retrain
from bot.data.era_store import EraStore
from bot.errors import FirstTraining, GateFailed, NoChampion, OperatorNeeded
from bot.record.heartbeat import Heartbeat
from bot.record.ledger import Ledger
from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import Fault
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from bot.web.pages import Pages
from bot.web.status import overview
from tests.harness.installation import FIRST_ROUND, OPENED, Installation

OWN = """
base = "demo"
targets = []
[data]
every = 2
[members.linear]
kind = "linear"
"""


def begin(settings, capsys):
    """Train the starter as `bot retrain` does; return the lines that it prints about it."""
    retrain.train_starter(settings, ("own",), None, lambda: False)
    said = capsys.readouterr()
    return [line for line in (said.out + said.err).splitlines() if line.startswith("starter:")]


@pytest.fixture
def empty(sandbox, tmp_path, monkeypatch) -> Installation:
    """A bot with an empty state directory, a recipe of its own, and the starter turned on."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "own.toml").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return Installation(sandbox=sandbox, root=tmp_path, settings={"BOT_RECIPE": "own", "BOT_STARTER": "true"})


@pytest.fixture(scope="module")
def started(tmp_path_factory, world_folder, short_measurements):
    """A state directory in which the starter has just become champion."""
    root = tmp_path_factory.mktemp("started")
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    with Sandbox(World.open(world_folder), clock=clock, schedule=schedule) as sandbox:
        settings = Installation(sandbox=sandbox, root=root).settings_as(starter=True)
        retrain.train_starter(settings, ("demo",), None, lambda: False)
    return root / "state"


@pytest.fixture
def first_day(empty, started):
    """An installation whose slot has no champion of its own, while the starter has one."""
    shutil.copytree(started, empty.state)
    return empty


def settings_of(installation, **changed):
    return installation.settings_as(**{"recipe": "own", "starter": True} | changed)


def test_starter_fills_the_round_and_is_marked(first_day):
    """While the slot's recipe has no champion, receipt, status and pages name the starter and the reason."""
    receipt = first_day.submit(recipe="own", starter=True)
    (seen,) = overview(first_day.state, first_day.state / "ledger.sqlite", now=OPENED)["rounds"]

    assert (receipt.outcome, receipt.filled_by) == ("confirmed", "starter")
    assert "recipe 'own' has no champion yet" in receipt.passed_over
    assert (seen["rung"], seen["artifact"]) == ("starter", receipt.artifact)
    pages = Pages(first_day.state, first_day.state / "ledger.sqlite")
    assert b">starter<small>" in pages.now().body
    assert b"filled by starter: recipe &#39;own&#39; has no champion yet" in pages.round(str(FIRST_ROUND)).body


def test_refused_file_of_the_starter_is_the_reason_of_its_round(first_day):
    """Log, ledger and error have the gate that refused the starter's file; that there is no champion comes second."""
    with structlog.testing.capture_logs() as logs, pytest.raises(GateFailed) as refused:
        first_day.submit(recipe="own", starter=True, max_exposure=0.05)
    with closing(Ledger(first_day.state / "ledger.sqlite", read_only=True)) as ledger:
        (failure,) = ledger.failures(FIRST_ROUND)

    assert str(refused.value).startswith("exposure: ")
    assert (
        " (recipe 'own' has no champion yet); neutralize more in the recipe, let BOT_FALLBACK name another one, or raise BOT_MAX_EXPOSURE"
        in str(refused.value)
    )
    assert (failure.kind, [one.gate for one in failure.gates]) == ("refused", ["exposure"])
    assert failure.settings == ("BOT_MAX_EXPOSURE",)
    assert [one["event"] for one in logs if one["event"].startswith("ladder.")] == ["ladder.trying"]


def test_first_training_is_nothing_to_act_on(empty):
    """While `bot run` trains its first model, the reason of the round says so, and that the bot tries again by itself."""
    empty.state.mkdir(exist_ok=True)
    heartbeat = Heartbeat(folder=empty.state)
    heartbeat.beat()
    with closing(Ledger(empty.state / "ledger.sqlite")) as ledger:
        ledger.start_job("retrain", OPENED)
        with pytest.raises(
            FirstTraining, match=r"recipe 'own' has no champion yet: the first training runs; nothing is"
        ):
            empty.submit(recipe="own", starter=True)
        (failure,) = ledger.failures(FIRST_ROUND)
        ledger.finish_job("retrain", OPENED, "exit status 1")
        with pytest.raises(NoChampion, match="run `bot retrain` first"):
            empty.submit(recipe="own", starter=True)

    assert failure.kind == "training"


def test_a_first_training_whose_trainer_died_is_one_to_act_on(empty):
    """A daemon that does not train itself is no sign that the training still runs."""
    empty.state.mkdir(exist_ok=True)
    Heartbeat(folder=empty.state).beat(trains=False)
    with closing(Ledger(empty.state / "ledger.sqlite")) as ledger:
        ledger.start_job("retrain", OPENED)

    with pytest.raises(NoChampion, match="run `bot retrain` first"):
        empty.submit(recipe="own", starter=True)


def test_starter_is_promoted_by_the_same_gate(first_day):
    """Its manifest has the scores and the findings of every other first challenger, contributions included."""
    store = ArtifactStore(first_day.state / "artifacts")
    manifest = store.open(store.champions("starter")[0]).manifest

    assert manifest["decision"]["promote"]
    assert {"skill", "corr", "bmc", "mmc", "exposure", "purge"} <= {
        one["gate"] for one in manifest["decision"]["findings"]
    }
    assert manifest["scores"]["ensemble"]["eras"] == 104


def test_starter_downloads_a_part_of_the_data(first_day, sandbox):
    """Its store holds the small set and one target; neither the files nor the store of the whole data are there."""
    (folder,) = (first_day.state / "starter" / "store").iterdir()
    store = EraStore.open(folder)
    files = sum(path.stat().st_size for path in (first_day.state / "starter" / "data").rglob("*.parquet"))
    whole = sum(path.stat().st_size for path in sandbox.tournament.directory.glob("v5.3/*.parquet"))

    assert (len(store.manifest.features), store.manifest.targets) == (42, ("target_ender_60",))
    assert files < 0.75 * whole
    assert not (first_day.state / "data").exists()
    assert not (first_day.state / "store").exists()


def test_retrain_on_an_empty_state_begins_with_the_starter(empty):
    """`bot retrain` says in one line that the starter fills rounds, and the slot's own champion replaces it with all it left."""
    done = empty.bot("retrain")
    lines = done.stdout.splitlines()
    said = [line for line in lines if line.startswith("starter:")]
    store = ArtifactStore(empty.state / "artifacts")
    receipt = empty.submit(recipe="own", starter=True)

    assert done.returncode == 0, done.stderr
    assert len(said) == 1
    assert "fills rounds until own has a champion; CORR 0.0" in said[0]
    assert lines.index(said[0]) < next(place for place, line in enumerate(lines) if line.startswith("promoted:"))
    assert (receipt.filled_by, receipt.artifact) == ("champion", store.champions("own")[0])
    assert not store.has_champion("starter")
    assert not (empty.state / "starter").exists()


@pytest.mark.usefixtures("no_backoff")
def test_disk_without_room_for_all_data_stops_only_the_own_recipe(first_day, monkeypatch):
    """The retrain ends with the bytes that are missing; the starter keeps filling rounds."""
    usage = type("Usage", (), {"free": 10_000_000})
    monkeypatch.setattr("bot.data.next_version.shutil.disk_usage", lambda _path: usage)
    for name, value in first_day.environment.items():
        if name.startswith(("BOT_", "NUMERAI_")):
            monkeypatch.setenv(name, value)

    with pytest.raises(OperatorNeeded, match=r"needs about .* bytes in .*, 10,000,000 are free; make room"):
        retrain.retrain_recipes(None, None)
    assert first_day.submit(recipe="own", starter=True).filled_by == "starter"


def test_turned_off_starter_fills_nothing(first_day):
    """With BOT_STARTER=false a slot without a champion is refused, and the next retrain removes the starter."""
    settings = settings_of(first_day, starter=False)
    with pytest.raises(NoChampion):
        first_day.submit(recipe="own", starter=False)
    retrain.leave_starter(settings)

    assert not ArtifactStore(first_day.state / "artifacts").has_champion("starter")
    assert not (first_day.state / "starter").exists()


def test_fallback_recipe_comes_before_the_starter(first_day, trained):
    """A slot whose fallback recipe has a champion needs no starter."""
    shutil.copytree(trained / "artifacts", first_day.state / "artifacts", dirs_exist_ok=True)

    assert assembly.unfilled(settings_of(first_day)) == ("own",)
    assert assembly.unfilled(settings_of(first_day, fallback="demo")) == ()
    assert first_day.submit(recipe="own", fallback="demo", starter=True).filled_by == "fallback recipe"


def test_refused_starter_is_said_in_one_line(empty, monkeypatch, capsys):
    """A starter that the gate refuses becomes no champion; the line has the reason and the recipe that comes next."""
    floors = replace(retrain.STARTER.floors, min_skill=100.0)
    monkeypatch.setattr(retrain, "STARTER", replace(retrain.STARTER, floors=floors))

    (line,) = begin(settings_of(empty), capsys)

    assert line.startswith("starter: not promoted: skill: CORR is ")
    assert line.endswith("; own is trained next")
    assert assembly.unfilled(settings_of(empty)) == ("own",)
    assert not ArtifactStore(empty.state / "artifacts").has_champion("starter")


def test_server_without_ranges_gives_the_whole_files(empty, sandbox, capsys):
    """One line says that all data come first; the starter is trained on them, and they serve the next recipe too."""
    sandbox.faults.add(Fault(operation="GET", kind="ignore_range", times=9999))

    said = "\n".join(begin(settings_of(empty), capsys))

    assert "all data are downloaded first, because v5.3/" in said
    assert "fills rounds until own has a champion" in said
    assert (empty.state / "data" / "v5.3" / "train.parquet").is_file()


@pytest.mark.usefixtures("no_backoff")
def test_failed_starter_holds_up_nothing(empty, sandbox, capsys):
    """A network that fails for good is said in one line; the next call goes on with what has arrived."""
    sandbox.faults.add(Fault(operation="GET", kind="truncate", times=9999, skip=12))
    (line,) = begin(settings_of(empty), capsys)
    kept = list((empty.state / "starter").rglob("*.parquet"))
    sandbox.faults.clear()
    (again,) = begin(settings_of(empty), capsys)

    assert line.startswith("starter: not trained: ")
    assert line.endswith("no round is filled before own is trained")
    assert kept
    assert "fills rounds" in again


def test_starter_with_a_champion_is_not_trained_again(first_day, sandbox, capsys):
    """While the slot still has no champion, the next retrain needs no answer of the server for the starter."""
    sandbox.faults.add(Fault(operation="*", kind="status", times=9999))

    assert begin(settings_of(first_day), capsys) == []


def test_doctor_says_what_fills_the_slot(first_day):
    """A slot that the starter fills is a warning with the starter's artifact, not a failure."""
    done = first_day.bot("doctor", "--json")
    (check,) = (one for one in json.loads(done.stdout)["checks"] if one["name"] == "champion own")

    assert check["verdict"] == "warning"
    assert ArtifactStore(first_day.state / "artifacts").champions("starter")[0] in check["what"]
