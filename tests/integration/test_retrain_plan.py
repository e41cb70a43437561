"""A retrain tells its stages before it begins, reports in every one of them, and compares plan and time afterwards."""

import json
import shutil
import time
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import pytest

from bot import assembly
from bot.cli.answer import answer
from bot.cli.models.plan import next_plan, plan_retrains
from bot.errors import BadConfig
from bot.judging.challenger import Retrained, Retrainer
from bot.sandbox.clock import SandboxClock
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from bot.training.planning.machine_times import MachineTimes
from bot.training.planning.retrain_forecast import Forecast
from tests.harness.installation import OPENED, Installation

FITS = ("fit gbm", "refit gbm", "fit tsmixer", "refit tsmixer", "export tsmixer")
STAGES = ("sync", "store", "returns", "rows", *FITS, "judge", "write")


@dataclass
class Recorded:
    """A retrain in this process: each report with the CPU seconds of its time, and the result."""

    events: list[tuple[float, str, float, str]]
    result: Retrained
    forecast: Forecast

    def of(self, stage):
        return [one for one in self.events if one[1] == stage]


def retrain(settings, **changed):
    """Retrain the demo recipe and record its reports."""
    plan, client = next_plan(settings, "demo"), assembly.open_client(settings)
    artifacts, events = assembly.open_artifacts(settings), []
    forecast = Forecast.of(plan, settings.state_dir, artifacts, client, device="cpu")

    def report(stage, share, note):
        events.append((time.process_time(), stage, share, note))
        forecast.estimate.observe(stage, share, time.monotonic())

    retrainer = Retrainer(
        client=client, artifacts=artifacts, state_dir=settings.state_dir, device="cpu", report_progress=report,
        forecast=forecast, **changed,
    )  # fmt: skip
    return Recorded(events=events, result=retrainer.retrain(plan), forecast=forecast)


@pytest.fixture(scope="module")
def state(trained, tmp_path_factory, world_folder):
    """A bot whose data are there, with its sandbox; nothing is kept of fits or times."""
    root = tmp_path_factory.mktemp("planned")
    shutil.copytree(trained, root / "state")
    for name in ("fits", "speed.json"):
        path = root / "state" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    with Sandbox(World.open(world_folder), clock=SandboxClock(OPENED + timedelta(minutes=1), rate=0)) as sandbox:
        yield Installation(sandbox=sandbox, root=root)


@pytest.fixture(scope="module")
def recorded(state):
    return retrain(state.settings_as())


@pytest.fixture(scope="module")
def again(recorded, state):
    """The same retrain once more, with the fits of the first."""
    recorded.forecast.finish()
    return retrain(state.settings_as())


def test_every_planned_stage_reports_in_the_order_of_the_plan(recorded):
    """The reports name the stages of the plan, each from its begin."""
    begun = list(dict.fromkeys(stage for _at, stage, _share, _note in recorded.events))

    assert tuple(begun) == STAGES
    assert [one.name for one in recorded.forecast.stages] == [*STAGES, "report"]
    assert all(recorded.of(stage)[0][2] == 0.0 for stage in STAGES if stage != "rows")


def test_long_loops_report_each_step(recorded):
    """Steps of the network, trees, and eras that are judged are reported one by one."""
    manifest = recorded.result.artifact.manifest["recipe"]

    assert len(recorded.of("judge")) >= manifest["validation_eras"] + manifest["holdout_eras"]
    assert len([one for one in recorded.of("fit gbm") if " of 100 trees" in one[3]]) == 100
    assert len({one[3] for one in recorded.of("fit tsmixer") if "step" in one[3]}) > 50


def test_no_stage_is_silent_for_long(recorded):
    """
    No two reports are further apart than a quarter of the retrain, by CPU time.

    Seconds of a retrain of half a minute, as this one, are no more in one of hours. The exporter of torch is a single call,
    which imports its libraries too; it is reported before it begins.
    """
    at = [one[0] for one in recorded.events]
    gaps = {
        earlier[1:]: (later[0] - earlier[0]) / (at[-1] - at[0])
        for earlier, later in pairwise(recorded.events)
        if "exporter" not in earlier[3]
    }

    assert max(gaps.values()) < 0.25, max(gaps, key=gaps.__getitem__)


def test_the_manifest_has_plan_and_measured_time(recorded):
    """The artifact keeps the planned seconds, and the seconds of each stage until it was written."""
    kept = recorded.result.artifact.manifest["retrain"]

    assert kept["planned_s"] > 0
    assert set(kept["stages"]) == set(STAGES)


def test_members_from_earlier_fits_take_no_time(again):
    """The plan of a second retrain on the same data counts their fits as 0 s and says so."""
    fits = [one for one in again.forecast.stages if "fit " in one.name]

    assert {one.seconds for one in fits} == {0.0}
    assert {one.basis for one in fits} == {"kept from an earlier fit"}
    assert not again.of("refit gbm")


def test_the_champions_own_files_are_no_new_champion(again, state):
    """A retrain on the same data with the same recipe makes the champion's files again, and the champion stays."""
    champion, *_ = assembly.open_artifacts(state.settings_as()).champions("demo")
    made = again.result

    assert made.artifact.id != champion
    assert not made.decision.promote
    assert made.decision.reason == (
        f"the same data and recipe gave the files of the champion {champion} again, byte for byte"
    )


def test_an_earlier_retrain_is_preferred(again, recorded, state):
    """Without its fits, the next plan takes the seconds of each stage of the last real one."""
    shutil.rmtree(state.state / "fits")
    settings = state.settings_as()
    plan = next_plan(settings, "demo")
    forecast = Forecast.of(plan, settings.state_dir, assembly.open_artifacts(settings), None, device="cpu")
    took = recorded.result.artifact.manifest["retrain"]["stages"]
    stage = next(one for one in forecast.stages if one.name == "fit gbm")

    assert stage.basis == "as in the last retrain"
    assert stage.seconds == pytest.approx(took["fit gbm"], abs=0.1)


def test_a_plan_before_there_are_data_changes_nothing(sandbox, tmp_path):
    """It takes the sizes that the server tells, names every stage, and downloads nothing."""
    mine = Installation(sandbox=sandbox, root=tmp_path)
    mine.state.mkdir()
    done = mine.bot("retrain", "--plan")

    assert done.returncode == 0, done.stderr
    assert all(stage in done.stdout for stage in (*STAGES, "report"))
    assert "no data yet: sizes by the files that the server offers and the shape of v5.3" in done.stdout
    assert {path.name for path in mine.state.iterdir()} <= {"speed.json"}


def test_a_plan_without_a_measurement_says_so(state, monkeypatch, capsys):
    """A machine on which nothing can be measured gets one line for it, and no time of these stages."""
    monkeypatch.setattr(MachineTimes, "measured", lambda *_: None)
    monkeypatch.setattr(MachineTimes, "open", lambda _: MachineTimes(path=None, machine="a machine"))
    settings = state.settings_as()
    shutil.rmtree(state.state / "fits", ignore_errors=True)
    plan = next_plan(settings, "demo")
    forecast = Forecast.of(plan, settings.state_dir, assembly.open_artifacts(settings), None, device="cpu")

    assert forecast.line.startswith("more than ")
    assert "not known yet: fit gbm, refit gbm, fit tsmixer, refit tsmixer" in forecast.line
    assert "\n" not in forecast.line


def test_a_recipe_that_cannot_be_trained_is_one_line(state, monkeypatch, capsys):
    """An unknown recipe is named in a line, with the exit code of an operator's error."""
    for name, value in state.environment.items():
        if name.startswith(("BOT_", "NUMERAI_")):
            monkeypatch.setenv(name, value)
    with pytest.raises(BadConfig, match="recipe 'nosuch' is unknown; known recipes:"):
        answer(lambda: plan_retrains("nosuch", None), as_json=False)

    assert capsys.readouterr().out == ""


def test_the_command_compares_plan_and_time(trained):
    """A retrain of the command line keeps the times of its stages, the report's included."""
    kept = json.loads((trained / "speed.json").read_text())["retrains"]["demo"]

    assert {"fit gbm", "judge", "report"} <= set(kept)
