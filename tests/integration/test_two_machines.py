"""Two machines, one bot: one trains and publishes, the other judges on its own data, promotes and fills rounds."""

import json
import re
import shutil
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import onnx
import pytest
from onnx import external_data_helper

from bot.cli.answer import answer
from bot.cli.json_answers import ANSWERS
from bot.cli.models import unpack
from bot.cli.models.pack import make_pack
from bot.cli.models.publish import publish_new_artifact
from bot.cli.models.unpack import unpack_file, unpack_latest
from bot.errors import ArtifactInvalid, BadConfig, CannotSplit, SchemaMismatch
from bot.record.looks import LookRecord
from bot.record.outbox import Outbox
from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from bot.system.files import sha256_of
from tests.harness.installation import FIRST_ROUND, OPENED, Installation
from tests.harness.json_types import differences
from tests.harness.process import running, until
from tests.packing.packs import FOREIGN, signed

ROUND = timedelta(minutes=30)
LIMIT_S = 900.0
"""Seconds to wait for an event; many times what it takes, so that a busy machine fails no test."""

JOBS_OFF = {f"BOT_{name}": "off" for name in ("RETRAIN", "SYNC", "BACKUP", "SCORES", "DIAGNOSTICS")}


LATER = count()
"""Seconds that set copies apart: ids of the same second have no order."""


def copy(trainer, other=None, **changed) -> str:
    """Write the trainer's champion again, with other files or another manifest; return its id."""
    store, artifact = ArtifactStore(trainer.state / "artifacts"), champion(trainer)
    files = {name: artifact.path(name) for name in artifact.manifest["files"]} | (other or {})
    return store.write(
        files=files, manifest={**artifact.manifest, **changed}, at=datetime.now(UTC) + timedelta(seconds=next(LATER))
    ).id


def publish(trainer, other=None, **changed) -> Path:
    """Put a pack of such a copy into the exchange."""
    pack = make_pack(trainer.settings_as(), copy(trainer, other, **changed))
    return pack.rename(exchange(trainer) / pack.name)


def exchange(installation) -> Path:
    return Path(installation.settings["BOT_ARTIFACTS_URL"].removeprefix("file://"))


@pytest.fixture(scope="module")
def machines(tmp_path_factory, trained, world_folder):
    """A machine with a champion, which it has published, and one with data and the trainer's public key."""
    root = tmp_path_factory.mktemp("machines")
    schedule = Schedule.every(ROUND, window=ROUND - timedelta(seconds=1), first_round=FIRST_ROUND, first_open=OPENED)
    clock = SandboxClock(OPENED + timedelta(seconds=1), rate=0)
    with Sandbox(World.open(world_folder), clock=clock, schedule=schedule) as sandbox:
        storage = {"BOT_ARTIFACTS_URL": f"file://{root}/exchange"}
        trainer = Installation(sandbox=sandbox, root=root / "trainer", settings=dict(storage))
        bot = Installation(sandbox=sandbox, root=root / "bot", settings=dict(storage))
        for one, names in ((trainer, ["artifacts"]), (bot, ["data", "store", "history"])):
            one.root.mkdir()
            for name in names:
                shutil.copytree(trained / name, one.state / name)
        made, published = trainer.bot("pack", "--new-key"), trainer.bot("pack", "--publish")
        bot.settings["BOT_TRUSTED_KEYS"] = re.search(r"BOT_TRUSTED_KEYS=(\S+)", made.stdout)[1]
        assert published.returncode == 0, published.stderr
        yield trainer, bot


@pytest.fixture(scope="module")
def played(machines):
    """Five rounds of `bot run` on the machine without an artifact; return its log's events by name."""
    _, bot = machines
    tournament = bot.sandbox.tournament
    with running(bot, BOT_TICK_S="0.5", **JOBS_OFF) as daemon:
        until(lambda: daemon.events("artifact.promoted"), LIMIT_S, "no artifact is promoted")
        for number in range(FIRST_ROUND, FIRST_ROUND + 5):
            bot.sandbox.clock.set(tournament.schedule.round(number).opens_at + timedelta(seconds=1))
            until(lambda number=number: is_settled(daemon, number), LIMIT_S, f"round {number} is not settled")
        return {name: daemon.events(name) for name in ("artifact.promoted", "chore.finished")}


def is_settled(daemon, number):
    beat = daemon.heartbeat()
    return beat.get("round") == number and beat.get("settled")


def champion(installation):
    store = ArtifactStore(installation.state / "artifacts")
    return store.open(store.champions("demo")[0])


def alerts(installation):
    with closing(Outbox(installation.state / "ledger.sqlite")) as outbox:
        return outbox.open_alerts()


def test_the_artifact_is_promoted_by_the_gate_of_the_other_machine(machines, played):
    """The daemon's job judges it on the data there; its scores and decision are made anew, and its origin is kept."""
    trainer, bot = machines
    here, there = champion(bot), champion(trainer)
    origin, scores = here.manifest["origin"], here.manifest["scores"]
    evaluation, theirs = (json.loads(one.path("evaluation.json").read_text()) for one in (here, there))

    assert [one["artifact"] for one in played["artifact.promoted"]] == [here.id]
    assert (origin["id"], origin["signed_by"]) == (there.id, bot.settings["BOT_TRUSTED_KEYS"])
    assert here.manifest["decision"]["promote"]
    assert scores["ensemble"]["mean"] == pytest.approx(there.manifest["scores"]["ensemble"]["mean"])
    assert evaluation["holdout"]["eras"] == theirs["holdout"]["eras"]
    assert sha256_of(here.path("judged-gbm.txt")) == sha256_of(there.path("judged-gbm.txt"))


def test_it_fills_five_rounds(machines, played):
    """Each round has one accepted submission of the champion that came from the other machine."""
    _, bot = machines
    accepted = [one.round for one in bot.sandbox.tournament.submissions if one.accepted]

    assert accepted == list(range(FIRST_ROUND, FIRST_ROUND + 5))
    assert not alerts(bot)


def test_each_pack_is_looked_at_once(machines, played):
    """A second look finds nothing new, and a machine never takes its own pack."""
    trainer, bot = machines
    before = ArtifactStore(bot.state / "artifacts").identities()
    again, own = (
        one.bot("unpack", "--latest", BOT_TRUSTED_KEYS=bot.settings["BOT_TRUSTED_KEYS"]) for one in (bot, trainer)
    )

    assert (again.returncode, own.returncode) == (0, 0)
    assert "no new pack among 1" in again.stdout
    assert "no new pack among 1" in own.stdout
    assert ArtifactStore(bot.state / "artifacts").identities() == before


@pytest.fixture
def here(machines, played, monkeypatch):
    """The bot's machine, whose commands run in this process."""
    _, bot = machines
    for name, value in bot.environment.items():
        if name.startswith(("BOT_", "NUMERAI_")):
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(bot.root)
    return bot


def content(installation):
    """Return the digest of every artifact, pointer and round."""
    folders = (installation.state / "artifacts", installation.state / "rounds")
    return {str(one): sha256_of(one) for folder in folders for one in folder.rglob("*") if one.is_file()}


def test_tampered_packs_are_refused_and_stop_no_other(machines, here, capfd):
    """Each is one line and one alert; the sound pack behind them is judged; a second look says nothing."""
    trainer, _ = machines
    sound = publish(trainer)
    body = sound.read_bytes()
    names = [f"2099-01-0{day}T000000Z-bad{day}.pack" for day in range(1, 6)]
    flipped = bytearray(body)
    flipped[len(body) // 2] ^= 1
    hostile = (bytes(flipped), signed(body[156:], key=FOREIGN), body[:-1], b"no pack of anybody" * 20, body)
    for name, bad in zip(names, hostile, strict=True):
        (sound.parent / name).write_bytes(bad)
    with pytest.raises(ArtifactInvalid):
        answer(lambda: unpack_latest(again=False), as_json=False)
    first, opened = capfd.readouterr(), alerts(here)
    unpack_latest(again=False)
    second = capfd.readouterr()

    assert [name for name in names if first.err.count(f"error: {name}")] == names[
        1:
    ]  # the command ends with the oldest
    assert [f"pack {name}" for name in names] == sorted(opened)
    assert f"trained elsewhere as {sound.stem}" in first.out
    assert champion(here).manifest["origin"]["id"] == sound.stem
    assert "no new pack among 7" in second.out
    for name in names:
        (sound.parent / name).unlink()
    unpack_latest(again=False)
    assert not alerts(here)


MISMATCHES = {
    "another data version": ({"data_version": "v5.2"}, SchemaMismatch, "was trained on data v5.2, and recipe demo uses v5.3"),
    "another target": ({"target": "target_jasper_60"}, SchemaMismatch, "was trained for target_jasper_60"),
    "an unknown recipe": ("unknown", BadConfig, "recipe 'unknown' is unknown"),
    "too few eras here": (
        {"eras": {"train": ["0001", "0100"], "validation": ["0120", "0150"], "holdout": ["0240", "0300"], "newest": "0320"}},
        CannotSplit,
        "8 labelled eras here are new to it, and its judgement needs 48: its hold-out begins with era 0240",
    ),
    "other features": ({"neutralizers": ["feature_of_nobody"]}, ArtifactInvalid, "feature_of_nobody"),
    "odd eras": ({"eras": {"holdout": 3}}, ArtifactInvalid, "cannot be judged: "),
}  # fmt: skip


@pytest.mark.parametrize("case", MISMATCHES)
def test_what_cannot_be_judged_here_changes_nothing(machines, here, case):
    """A signed artifact that does not fit the settings or the data is refused in one line that says what is missing."""
    trainer, _ = machines
    changed, error, words = MISMATCHES[case]
    if isinstance(changed, str):
        changed = {"recipe": {**champion(trainer).manifest["recipe"], "name": changed}}
    pack, before = publish(trainer, **changed), content(here)
    with pytest.raises(error, match=re.escape(words)) as caught:
        unpack_file(pack)
    pack.unlink()

    assert "\n" not in str(caught.value)
    assert content(here) == before
    assert not list(here.state.glob("unpack-*"))


@pytest.mark.parametrize("prefix", ["", "judged-"])
def test_a_model_that_reads_other_files_is_refused(machines, here, tmp_path, prefix):
    """A signed network whose weights lie in a file of this machine is not opened, whether it serves or is judged."""
    trainer, _ = machines
    network = onnx.load(champion(trainer).path(f"{prefix}tsmixer.onnx"))
    tensor = network.graph.initializer[0]
    external_data_helper.set_external_data(tensor, "../../../etc/passwd")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    pack = publish(trainer, {f"{prefix}tsmixer.onnx": network.SerializeToString()})
    before = content(here)
    with pytest.raises(ArtifactInvalid, match="weights lie in other files"):
        unpack_file(pack)
    pack.unlink()

    assert content(here) == before


def test_a_look_that_never_ends_holds_up_no_other(machines, here, monkeypatch):
    """A pack during whose look the process dies is refused at the third look, and the older one behind it is judged."""
    trainer, _ = machines
    older, poison = publish(trainer), publish(trainer)

    def die(*_):
        raise KeyboardInterrupt

    receive = unpack._receive
    monkeypatch.setattr(
        unpack, "_receive", lambda settings, one: (die if one.artifact.id == poison.stem else receive)(settings, one)
    )
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            unpack_latest(again=False)
    with pytest.raises(ArtifactInvalid, match=f"2 looks at {poison.name} began and did not end"):
        answer(lambda: unpack_latest(again=False), as_json=False)

    assert ArtifactStore(here.state / "artifacts").open(champion(here).id).manifest["origin"]["id"] == older.stem
    for pack in (older, poison):
        pack.unlink()


def test_the_gate_of_this_machine_decides(machines, here, capsys):
    """Floors of the recipe here keep an artifact back that the other machine promoted by its own."""
    trainer, _ = machines
    (here.root / "recipes").mkdir()
    (here.root / "recipes" / "strict.toml").write_text('base = "demo"\n[floors]\nmin_skill = 1000\n')
    pack = publish(trainer, recipe={**champion(trainer).manifest["recipe"], "name": "strict"})
    unpack_file(pack)
    pack.unlink()
    shutil.rmtree(here.root / "recipes")
    said, store = capsys.readouterr().out, ArtifactStore(here.state / "artifacts")
    kept = store.open(store.kept_back()["strict"].id)

    promoting = f"`bot promote {kept.id}` makes it one all the same"
    assert f"not promoted, so that strict has no champion yet ({promoting}): skill: CORR is" in said
    assert kept.manifest["origin"]["decision"]["promote"]
    assert not kept.manifest["decision"]["promote"]


def test_a_pack_that_is_judged_twice_costs_confidence_once(machines, here):
    """The same models on the same eras against the same champion are one look at the hold-out."""
    trainer, _ = machines
    (here.root / "recipes").mkdir()
    (here.root / "recipes" / "hard.toml").write_text('base = "demo"\n[floors]\nmin_skill = 1000\n')
    pack = publish(trainer, recipe={**champion(trainer).manifest["recipe"], "name": "hard"})
    unpack_file(pack)
    store, counts = ArtifactStore(here.state / "artifacts"), []
    store.promote("hard", store.kept_back()["hard"].id, by="operator")
    for _ in range(2):
        unpack_file(pack)
        with closing(LookRecord(here.state / "ledger.sqlite", read_only=True)) as record:
            counts.append((record.count("0000"), record.last().remaining))
    pack.unlink()
    shutil.rmtree(here.root / "recipes")

    assert counts[0] == counts[1]


DEAD = "http://trainer:CANARYSTORAGE@127.0.0.1:9/packs"
"""A storage whose port nobody listens on."""


def test_a_storage_that_is_down_is_one_line(machines, here):
    """A look and a publication end with 75, and show no password."""
    trainer, _ = machines
    looked = here.bot("unpack", "--latest", BOT_ARTIFACTS_URL=DEAD)
    packed = trainer.bot("pack", "--publish", BOT_ARTIFACTS_URL=DEAD)

    assert (looked.returncode, packed.returncode) == (75, 75)
    for one in (looked, packed):
        assert "error: the storage http://***@127.0.0.1:9/packs failed: " in one.stderr
        assert "CANARYSTORAGE" not in one.stdout + one.stderr
        assert one.stderr.count("\n") == 1


def test_a_retrain_publishes_its_artifact(machines, capsys):
    """With a storage and a signing key it does; a storage that is down costs a warning only, and no key is no wish."""
    trainer, _ = machines
    url, new = trainer.settings["BOT_ARTIFACTS_URL"], copy(trainer)
    publish_new_artifact(trainer.settings_as(artifacts_url=DEAD), new)
    publish_new_artifact(trainer.settings_as(artifacts_url=url, signing_key=trainer.root / "absent"), new)
    absent = not (exchange(trainer) / f"{new}.pack").exists()
    publish_new_artifact(trainer.settings_as(artifacts_url=url), new)
    said = capsys.readouterr().out

    assert absent
    assert (exchange(trainer) / f"{new}.pack").is_file()
    assert not (trainer.state / "packs" / f"{new}.pack").exists()
    assert "pack.not_published" in said
    assert f"`bot pack {new} --publish` does it later" in said
    assert f"published: {url}/{new}.pack" in said


def test_a_pack_goes_by_hand_too(machines, here, tmp_path):
    """`bot pack --output` and `bot unpack FILE` need no storage; a pack that was promoted already is judged again."""
    trainer, _ = machines
    packed = trainer.bot("pack", "--output", str(tmp_path / "mine.pack"), BOT_ARTIFACTS_URL="")
    unpacked = here.bot("unpack", str(tmp_path / "mine.pack"), "--json", BOT_ARTIFACTS_URL="")
    untrusted = here.bot("unpack", str(tmp_path / "mine.pack"), BOT_TRUSTED_KEYS="")

    assert f"signed by {here.settings['BOT_TRUSTED_KEYS']}" in packed.stdout
    assert unpacked.returncode == 0, unpacked.stderr
    assert list(differences(json.loads(unpacked.stdout), ANSWERS["unpack"])) == []
    assert json.loads(unpacked.stdout)["judged"][0]["trained_as"] == champion(trainer).id
    assert f"trained elsewhere as {champion(trainer).id}" in unpacked.stderr
    assert (untrusted.returncode, untrusted.stderr.count("\n")) == (78, 1)
