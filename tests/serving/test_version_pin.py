"""Data version that a recipe is scored with and trained on."""

from datetime import UTC, datetime

import pytest

from bot.serving.artifacts import MANIFEST, ArtifactStore
from bot.serving.version_pin import Pin
from tests.serving.manifests import manifest


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


def trained(store, version, day=1):
    """Write an artifact of recipe `mixer` that was trained on a data version; return its id."""
    return store.write(
        files={}, manifest=manifest("mixer", data_version=version), at=datetime(2026, 11, day, tzinfo=UTC)
    ).id


@pytest.mark.parametrize(
    ("champion", "setting", "in_use", "to_train", "said"),
    [
        (None, "v5.3", "v5.3", "v5.3", ""),
        ("v5.3", "v5.3", "v5.3", "v5.3", ""),
        ("v5.4", "v5.3", "v5.4", "v5.4", "champion on v5.4; BOT_DATA_VERSION is v5.3"),
        ("v5.3", "v5.10", "v5.3", "v5.10", "BOT_DATA_VERSION is v5.10, which `bot retrain` trains on"),
    ],
)
def test_the_champion_says_and_a_newer_setting_is_a_wish(champion, setting, in_use, to_train, said):
    """Rounds use the champion's version; training uses the setting's version only if it is newer."""
    pin = Pin(recipe="mixer", champion=champion, setting=setting)

    assert (pin.in_use, pin.to_train) == (in_use, to_train)
    assert said in pin.note
    assert bool(pin.note) == bool(said)


def test_the_pin_moves_with_the_champion(store):
    """A promotion or rollback changes the version at once, whatever the setting."""
    seen = [Pin.of(store, "mixer", "v5.2").in_use]
    for day, version in enumerate(("v5.3", "v5.4"), 1):
        store.promote("mixer", trained(store, version, day))
        seen.append(Pin.of(store, "mixer", "v5.2").in_use)
    store.rollback("mixer")

    assert [*seen, Pin.of(store, "mixer", "v5.2").in_use] == ["v5.2", "v5.3", "v5.4", "v5.3"]
    assert Pin.of(store, "other", "v5.2").in_use == "v5.2"


@pytest.mark.parametrize("left", ["{", "[]", "{}"])
def test_a_damaged_manifest_leaves_the_word_to_the_champion_before(store, left):
    """Unreadable artifacts are skipped; without a readable one, the setting's version is used."""
    for day, version in enumerate(("v5.3", "v5.4"), 1):
        store.promote("mixer", trained(store, version, day))
    newest, before = store.champions("mixer")
    (store.root / newest / MANIFEST).write_text(left)
    seen = Pin.of(store, "mixer", "v5.2").in_use
    (store.root / before / MANIFEST).unlink()

    assert (seen, Pin.of(store, "mixer", "v5.2").in_use) == ("v5.3", "v5.2")


def test_a_damaged_pointer_is_no_champion(store):
    """Without a readable champion pointer, the setting's version is used."""
    store.promote("mixer", trained(store, "v5.4"))
    (store.root / "champions" / "mixer.json").write_text("{")

    assert Pin.of(store, "mixer", "v5.3").in_use == "v5.3"
