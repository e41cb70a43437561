"""`torchrun -m bot retrain`: two processes train the same network as one, one of them writes, and both end."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from bot.sandbox.clock import SandboxClock
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from tests.harness.installation import OPENED, Installation
from tests.harness.traps import set_traps

ROOT = Path(__file__).resolve().parents[2]
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
RECIPE = """
base = "demo"
targets = ["target_ender_60"]
every = 3
[weights]
tsmixer = 1.0
[network]
blocks = 1
epochs = 3
eras_per_step = 2
evaluations_per_epoch = 1
stacked = true
stacked_chunk = 40
"""
"""The smallest recipe with everything that processes share, predictions of trees and a refit included."""


@pytest.fixture
def synced(world_folder, trained, tmp_path):
    """A bot with data, store and a recipe file, and no artifact."""
    for name in ("data", "store", "history"):
        shutil.copytree(trained / name, tmp_path / "state" / name)
    shutil.copy(trained / "speed.json", tmp_path / "state")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "pair.toml").write_text(RECIPE, encoding="utf-8")
    settings = {"BOT_RECIPE": "pair", "BOT_LOG_FORMAT": "json", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(ROOT)}
    settings["PYTHONSAFEPATH"] = "1"  # as docs/how-to/gpu.md sets it: no process of the team imports a trap
    set_traps(tmp_path)
    with Sandbox(World.open(world_folder), clock=SandboxClock(OPENED)) as running:
        yield Installation(sandbox=running, root=tmp_path, settings=settings)


def retrain(installation, *launcher, until=""):
    """
    Run `bot retrain`; kill the second process as soon as the event *until* is logged.

    Returns the exit code, the standard output, the logged events and the other lines of standard error.
    """
    program, *command = installation.command("retrain")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    events, words = [], []
    with subprocess.Popen(
        [program, *launcher, *command], env=installation.environment, cwd=installation.root, **pipes
    ) as process:
        for line in process.stderr:
            if not line.startswith("{"):
                words.append(line)
                continue
            events.append(json.loads(line))
            if events[-1]["event"] == until:
                ranks = psutil.Process(process.pid).children()
                (second,) = (one for one in ranks if one.environ().get("RANK") == "1")
                os.kill(second.pid, signal.SIGKILL)
                until = ""
        printed = process.stdout.read()
    return process.returncode, printed, events, "".join(words)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_retrain_as_one(synced):
    """
    A lost process ends the other with one line; started again, both continue and leave the result of a single process.

    The scores agree within a millionth, one artifact is written, and the decision is the same.
    """
    lost, _, _, words = retrain(synced, *TWO, until="network.evaluated")
    left = sorted(path.name for path in (synced.state / "training" / "pair").glob("*.pt"))
    again, printed, events, _ = retrain(synced, *TWO)
    (together,) = ArtifactStore(synced.state / "artifacts").identities()
    shutil.move(synced.state / "artifacts", synced.root / "together")
    shutil.rmtree(synced.state / "fits")
    alone = synced.bot("retrain").returncode
    first = ArtifactStore(synced.root / "together").open(together)
    other = ArtifactStore(synced.state / "artifacts")
    second = other.open(other.champions("pair")[0])
    kept = [json.loads(one.path("evaluation.json").read_text()) for one in (first, second)]
    evaluated = [(event["stage"], event["step"]) for event in events if event["event"] == "network.evaluated"]

    assert (lost, again, alone) == (1, 0, 0)
    assert "error: process 0 of 2 lost another one, whose own message says why; start all of them again" in words
    assert len(left) == 1
    assert printed.count("promoted") == 1
    assert evaluated[:2] == [("network", 36), ("network", 54)]  # that after step 18 was in the run that ended
    assert ArtifactStore(synced.root / "together").champions("pair") == (together,)
    fits = [one.manifest["fits"]["tsmixer"] for one in (first, second)]
    assert fits[0]["best_score"] == pytest.approx(fits[1]["best_score"], abs=1e-6)
    for block in ("validation", "holdout"):
        one, two = (content[block]["scores"]["corr"]["ensemble"] for content in kept)
        assert len(one) > 10
        assert one == pytest.approx(two, abs=1e-6)
    assert first.manifest["decision"]["promote"] == second.manifest["decision"]["promote"]
