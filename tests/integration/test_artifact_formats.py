"""Artifacts of other versions of the bot: refused in one line where they cannot be served, and the fallbacks go on."""

import json

import numpy as np
import pytest

from bot.data.era_store import EraStore
from bot.errors import ArtifactInvalid
from bot.history import feature_returns
from bot.judging.judge import judged_ensemble
from bot.members.rows import RawRows
from bot.serving.artifacts import FORMAT, MEMBERS, NEEDED, ArtifactStore
from bot.serving.scorer import Scorer
from bot.training.recipes import DEMO
from tests.harness.installation import FIRST_ROUND, SLOT
from tests.harness.older import copy_as_format_1, rewrite, stacked
from tests.harness.recipes import network_of
from tests.integration.test_fallbacks import promote

KEYS = [".".join(keys) for keys in (*NEEDED, *MEMBERS)]


@pytest.fixture
def store(installation):
    return ArtifactStore(installation.state / "artifacts")


def drop(name):
    def change(manifest):
        *tables, key = name.split(".")
        table = manifest
        for one in tables:
            table = table[one]
        del table[key]

    return change


def set_format(number):
    return lambda manifest: manifest.update(format=number)


def test_a_new_artifact_has_the_format_number(store):
    """The manifests of `bot retrain` hold the number of their format."""
    (identity,) = store.champions("demo")

    assert store.open(identity).manifest["format"] == FORMAT == 2


@pytest.mark.parametrize("name", KEYS)
def test_a_missing_key_refuses_the_artifact(store, name):
    """The error is one line with the artifact, the key and a way out."""
    (identity,) = store.champions("demo")
    rewrite(store, identity, drop(name))
    with pytest.raises(ArtifactInvalid) as refused:
        store.open(identity)
    message = str(refused.value)

    assert all(word in message for word in (identity, repr(name), "bot rollback"))
    assert "\n" not in message


@pytest.mark.parametrize("table", [None, "standard", ["name"]])
def test_a_table_of_another_type_refuses_the_artifact(store, table):
    """A manifest whose recipe is no table is refused like one without it."""
    (identity,) = store.champions("demo")
    rewrite(store, identity, lambda manifest: manifest.update(recipe=table))

    with pytest.raises(ArtifactInvalid, match=r"recipe\.name"):
        store.open(identity)


@pytest.mark.parametrize("number", [FORMAT + 1, 99, "2", None, 1.5], ids=repr)
def test_a_newer_format_refuses_the_artifact(store, number):
    """The error is one line with the artifact, both numbers and a way out."""
    (identity,) = store.champions("demo")
    rewrite(store, identity, set_format(number))
    with pytest.raises(ArtifactInvalid) as refused:
        store.open(identity)
    message = str(refused.value)

    assert all(word in message for word in (identity, repr(number), f"up to {FORMAT}", "update the bot"))
    assert "\n" not in message


def raw_rows(scorer):
    """Return random rows with the columns that a scorer reads, and its own history."""
    values = np.random.default_rng(5).integers(0, 5, (300, len(scorer.features)), dtype=np.int8)
    return RawRows(names=scorer.features, values=values, history=scorer.history)


def scores(artifact):
    """Return an artifact's predictions of the same rows, and its members' scores, as bytes."""
    scorer = Scorer(artifact)
    scored = scorer.score(raw_rows(scorer))
    return {"": scored.predictions.tobytes()} | {name: one.tobytes() for name, one in scored.members.items()}


@pytest.mark.parametrize(
    "change", [drop("format"), set_format(0), set_format(1), drop("weights")], ids=["none", "zero", "one", "no weights"]
)
def test_an_artifact_of_an_older_format_scores_the_same(store, change):
    """Manifests that name members in the recipe open, with or without a number, and score to the last bit as before."""
    champion = store.open(store.champions("demo")[0])
    older = copy_as_format_1(store, champion)
    rewrite(store, older.id, change)

    assert "members" not in store.open(older.id).manifest
    assert scores(store.open(older.id)) == scores(champion)


def test_an_older_artifact_needs_the_weights_of_its_recipe(store):
    """A manifest of format 1 without the table that names its members is refused."""
    older = copy_as_format_1(store, store.open(store.champions("demo")[0]))
    rewrite(store, older.id, drop("recipe.weights"))

    with pytest.raises(ArtifactInvalid, match=r"recipe\.weights"):
        store.open(older.id)


def test_an_older_stacked_network_with_two_heads_scores_the_same(store, tmp_path):
    """Trees of a stacked network are found under their older name, and a head by its target."""
    champion = store.open(store.champions("demo")[0])
    mixer, trees = champion.manifest["members"]
    head = {**mixer, "name": "tsmixer_ender_20", "target": "target_ender_20", "weight": 0.3, "head_of": "tsmixer"}
    shares = {"tsmixer": 0.4, "tsmixer_ender_20": 0.3, "gbm": 0.3}
    manifest = {**champion.manifest, "members": [mixer, head, trees], "weights": shares}
    newer = stacked(store, champion, tmp_path / "stacked", manifest=manifest)
    older = copy_as_format_1(store, newer)

    assert "gbm_z_target_ender_60.txt" in older.manifest["files"]
    assert not [name for name in older.manifest["files"] if name.startswith("tsmixer_z_")]
    assert set(scores(older)) == {"", *shares}
    assert scores(older) == scores(newer)


def test_an_older_artifact_without_the_networks_own_share_scores_the_same(store, tmp_path):
    """A head alone, whose model is that of a member without a weight, is scored."""
    champion = store.open(store.champions("demo")[0])
    mixer, trees = champion.manifest["members"]
    head = {**mixer, "name": "tsmixer_ender_20", "target": "target_ender_20", "weight": 0.5, "head_of": "tsmixer"}
    shares = {"tsmixer_ender_20": 0.5, "gbm": 0.5}
    manifest = {**champion.manifest, "members": [{**mixer, "weight": 0.0}, head, trees], "weights": shares}
    newer = stacked(store, champion, tmp_path / "stacked", manifest=manifest)
    older = copy_as_format_1(store, newer)
    rewrite(store, older.id, lambda manifest: manifest["recipe"].update(weights=list(shares.items())))

    assert set(scores(newer)) == {"", *shares}
    assert scores(store.open(older.id)) == scores(newer)


def test_an_older_champion_is_judged_the_same(store, trained):
    """The members that an older artifact was judged by have the same scores of an era, with its history."""
    (folder,) = (trained / "store").iterdir()
    eras, champion = EraStore.open(folder), store.open(store.champions("demo")[0])
    returns = feature_returns.update(eras, network_of(DEMO).history_targets)
    now, before = (
        judged_ensemble(one, eras, returns, ("target_ender_60",)).score(len(eras.eras) - 30, None)
        for one in (champion, copy_as_format_1(store, champion))
    )

    assert {name: one.tobytes() for name, one in before.scores.items()} == {
        name: one.tobytes() for name, one in now.scores.items()
    }
    np.testing.assert_array_equal(before.neutralizers, now.neutralizers)


def test_an_older_artifact_submits_and_is_exported(installation, store):
    """`bot submit` and `bot export` take it as they did."""
    older = copy_as_format_1(store, store.open(store.champions("demo")[0]))
    store.promote("demo", older.id, by="operator")
    submitted, exported = installation.bot("submit"), installation.bot("export", "numerai-model", "--no-check")

    assert submitted.returncode == 0, submitted.stderr
    assert older.id in submitted.stdout
    assert exported.returncode == 0, exported.stderr
    assert (installation.state / "exports" / f"{older.id}.pkl").is_file()


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(neutralizers=["feature_unknown"]),
        lambda manifest: manifest.update(neutralizers=7),
        lambda manifest: manifest.update(weights={"gbm": "half"}),
        lambda manifest: manifest["recipe"].update(neutralize=None),
    ],
    ids=["unknown neutralizer", "neutralizers of another type", "weight", "proportion"],
)
def test_a_value_that_cannot_be_used_refuses_the_artifact(store, change):
    """Needed keys with values of another version are refused when the models are loaded."""
    (identity,) = store.champions("demo")
    rewrite(store, identity, change)

    with pytest.raises(ArtifactInvalid, match="does not load"):
        Scorer(store.open(identity))


@pytest.mark.parametrize("change", [*map(drop, KEYS), set_format(FORMAT + 1)], ids=[*KEYS, "newer"])
@pytest.mark.usefixtures("validated_here")
def test_the_previous_champion_fills_the_round(installation, store, change):
    """A champion that cannot be served gives way to the one before it, and the report holds the reason."""
    (sound,) = store.champions("demo")
    newer = promote(store)
    rewrite(store, newer, change)
    receipt = installation.submit()
    report = json.loads((installation.state / "rounds" / str(FIRST_ROUND) / SLOT / "report.json").read_text())

    assert (receipt.outcome, receipt.filled_by, receipt.artifact) == ("confirmed", "previous champion", sound)
    assert [newer in reason for reason in report["rungs_refused"]] == [True]


def test_the_command_goes_on_and_verify_names_the_artifact(installation, store):
    """`bot submit` ends with 0 on the previous champion, and `bot verify` lists the artifact."""
    newer = promote(store)
    rewrite(store, newer, drop("target"))
    submitted, verified = installation.bot("submit"), installation.bot("verify")

    assert submitted.returncode == 0, submitted.stderr
    assert "previous champion" in submitted.stdout
    assert verified.returncode == 65
    assert "Traceback" not in verified.stderr
    assert f"artifact {newer}: manifest.json has no 'target'" in verified.stdout
    assert newer in verified.stderr


def test_the_only_champion_is_refused_with_its_reason(installation, store):
    """With nothing to fall back on, `bot submit` ends with 65 and one line."""
    (identity,) = store.champions("demo")
    rewrite(store, identity, set_format(FORMAT + 1))
    result = installation.bot("submit")

    assert result.returncode == 65
    assert f"artifact {identity} has format {FORMAT + 1}" in result.stderr
    assert "Traceback" not in result.stderr
