"""A person's program, written from docs/how-to/own-model.md alone, is adopted and fills a slot; its failures never lose a round."""

import json
import shutil

import pytest

from bot.cli.json_answers import ANSWERS
from bot.record.ledger import Ledger
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from tests.harness.installation import FIRST_ROUND, SLOT
from tests.harness.json_types import differences
from tests.harness.programs import play, write_program


@pytest.fixture
def mine(installation, trained):
    """A bot whose slot's recipe has one member, the documentation's program; the recipe `demo` is its fallback."""
    for name in ("store", "data", "history"):
        shutil.copytree(trained / name, installation.state / name)
    shutil.copy(trained / "speed.json", installation.state)
    installation.settings |= {"BOT_RECIPE": "mine", "BOT_FALLBACK": "demo"}
    return installation


def entry(installation, number=FIRST_ROUND):
    ledger = Ledger(installation.settings_as(recipe="demo").ledger_path)
    try:
        return ledger.entry(number, SLOT)
    finally:
        ledger.close()


def test_the_program_of_the_documentation_fills_a_slot(mine):
    """Adopted, it predicts the round; an edit in its folder changes nothing until it is adopted again."""
    folder = write_program(mine)
    adopted = mine.bot("adopt", "mine", BOT_MAX_EXPOSURE="0.001")
    (folder / "predict.py").write_text("raise SystemExit(1)")
    sent, again = mine.bot("submit", "--round", "latest"), mine.bot("adopt", "mine")
    retrained = mine.bot("retrain", "--recipe", "mine")
    exported = mine.bot("export", "numerai-model", "--recipe", "mine", "--no-check")
    store = ArtifactStore(mine.state / "artifacts")
    (champion,) = store.champions("mine")
    manifest = store.open(champion).manifest

    assert adopted.returncode == 0, adopted.stderr
    assert "may have learned from these eras" in adopted.stdout
    assert "warning: the gate on exposure refuses this" in adopted.stdout
    assert f"recipe mine: champion is {champion}, on v5.3; adopted by hand, not judged" in adopted.stdout
    assert sent.returncode == 0, sent.stderr
    assert (entry(mine).state, entry(mine).artifact, entry(mine).filled_by) == ("confirmed", champion, "champion")
    assert set(manifest["fits"]["mine"]["files"]) == {"predict.py", "train.py", "model.txt"}
    assert manifest["trained_elsewhere"] == ["mine"]
    assert again.returncode == 65
    assert "member mine: `python predict.py` ended with exit status 1" in again.stderr
    assert retrained.returncode == 0, retrained.stderr
    assert "recipe mine: nothing to train; `bot adopt mine`" in retrained.stdout
    assert exported.returncode == 78
    assert "member mine: it is a program of this machine" in exported.stderr


def test_a_recipe_that_was_never_adopted_is_named(mine):
    """`bot retrain` has nothing to train and names `bot adopt`; a recipe that trains cannot be adopted."""
    write_program(mine)
    retrained, adopted = mine.bot("retrain", "--recipe", "mine"), mine.bot("adopt", "demo")
    examined = " ".join(mine.bot("doctor").stdout.split())

    assert retrained.returncode == adopted.returncode == 78
    assert "run `bot adopt mine`" in examined
    assert "recipe 'mine' has nothing to train and no champion yet; run `bot adopt mine`" in retrained.stderr
    assert "member tsmixer of kind tsmixer has to be trained; run `bot retrain --recipe demo`" in adopted.stderr


def test_the_benchmark_alone_is_adopted(mine):
    """Numerai's own model needs no training either; it cannot be evaluated here."""
    (mine.root / "recipes").mkdir()
    (mine.root / "recipes" / "theirs.toml").write_text('[members.theirs]\nkind = "benchmark"\n')
    adopted, sent, evaluated = (
        mine.bot(*words, BOT_RECIPE="theirs")
        for words in (("adopt", "theirs"), ("submit", "--round", "latest"), ("evaluate",))
    )

    assert adopted.returncode == 0, adopted.stderr
    assert sent.returncode == 0, sent.stderr
    assert (entry(mine).state, entry(mine).filled_by) == ("confirmed", "champion")
    assert evaluated.returncode == 78
    assert "it may have learned from these eras: it was not trained here (theirs)" in evaluated.stderr


def test_commands_that_train_say_that_there_is_nothing_to_train(mine):
    """The plan of all recipes leaves out one without training, and a diagnosis says why it uploads nothing."""
    (mine.root / "recipes").mkdir(exist_ok=True)
    (mine.root / "recipes" / "mine.toml").write_text('[members.benchmark]\nkind = "benchmark"\n')
    del mine.settings["BOT_FALLBACK"]
    assert mine.bot("adopt", "mine").returncode == 0
    planned = mine.bot("retrain", "--plan", "--json")
    diagnosed = mine.bot("diagnose")

    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["plans"] == []
    assert "mine: nothing to train; `bot adopt mine` takes its members' files" in planned.stderr
    assert "it was not trained here" in diagnosed.stdout + diagnosed.stderr


def test_an_adopted_recipe_is_neutralized_to_the_riskiest_features(mine):
    """`neutralizers = "riskiest:5"` holds for a recipe that is never trained here."""
    (mine.root / "recipes").mkdir()
    recipe = 'neutralize = 0.5\nneutralizers = "riskiest:5"\n[members.theirs]\nkind = "benchmark"\n'
    (mine.root / "recipes" / "theirs.toml").write_text(recipe)
    adopted = mine.bot("adopt", "theirs", "--json", BOT_RECIPE="theirs")
    assert list(differences(json.loads(adopted.stdout), ANSWERS["adopt"])) == [], adopted.stderr

    store = ArtifactStore(mine.state / "artifacts")
    (champion,) = store.champions("theirs")
    assert len(store.open(champion).manifest["neutralizers"]) == 5


MIXED = """
base = "demo"
[members.gbm]
kind = "lightgbm"
preset = "demo"
[members.mine]
kind = "command"
command = ["python", "predict.py"]
"""


def test_a_recipe_may_mix_programs_and_trees(mine):
    """A retrain judges the ensemble without the program, which has seen anything; the round is sent with it."""
    folder = write_program(mine)
    (folder.parent / "mixed.toml").write_text(MIXED)
    done = [
        mine.bot(*words, BOT_RECIPE="mixed")
        for words in (("retrain",), ("evaluate",), ("report",), ("doctor",), ("submit", "--round", "latest"))
    ]
    store = ArtifactStore(mine.state / "artifacts")
    (champion,) = store.champions("mixed")
    report = json.loads((mine.state / "rounds" / str(FIRST_ROUND) / SLOT / "report.json").read_text())

    assert [one.returncode for one in done if one.args[3] != "doctor"] == [0] * 4, [one.stderr for one in done]
    assert set(store.open(champion).manifest["scores"]) == {"gbm", "ensemble"}
    assert entry(mine).artifact == champion
    assert "gbm~mine" in report["member_correlation"]


def test_a_program_that_fails_loses_no_round(world_folder, trained, tmp_path):
    """The short form of the soak `programs` has no breach: five rounds of `bot run`, in four of which the program fails."""
    ways = ("sound", "SIGKILL", "hang", "wrong ids", "6 GB")
    tally = play(World.open(world_folder), trained, tmp_path / "bot", ways)

    assert not tally.breaches
    assert tally.trials == 5
