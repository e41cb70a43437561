"""Artifacts of other versions of the bot: refused in one line where they cannot be served, and the fallbacks go on."""

import json

import pytest

from bot.errors import ArtifactInvalid
from bot.serving.artifacts import FORMAT, MANIFEST, NEEDED, ArtifactStore, digest_of
from bot.serving.scorer import Scorer
from tests.harness.installation import FIRST_ROUND, SLOT
from tests.integration.test_fallbacks import promote

KEYS = [".".join(keys) for keys in NEEDED]


@pytest.fixture
def store(installation):
    return ArtifactStore(installation.state / "artifacts")


def rewrite(store, identity, change):
    """Change an artifact's manifest as another version of the bot would have written it: with its own digest."""
    path = store.root / identity / MANIFEST
    manifest = json.loads(path.read_text())
    change(manifest)
    manifest["digest"] = digest_of(manifest)
    path.write_text(json.dumps(manifest))


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

    assert store.open(identity).manifest["format"] == FORMAT == 1


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


@pytest.mark.parametrize("change", [drop("format"), set_format(0)], ids=["none", "zero"])
def test_an_artifact_from_before_the_number_is_served(store, change):
    """Manifests without a format number are as they were: they open and score."""
    (identity,) = store.champions("demo")
    rewrite(store, identity, change)

    assert Scorer(store.open(identity)).weights


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
