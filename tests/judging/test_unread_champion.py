"""A champion that cannot be read: an error that may pass keeps it, an older manifest does not end the retrain."""

import errno
from types import SimpleNamespace

import pytest

from bot.errors import ArtifactInvalid, NoChampion, StateLocked, StateUnwritable
from bot.findings import Absent
from bot.judging import _champion_comparison as comparison
from bot.judging._champion_comparison import Champions, open_champion_of_other_version

SCORES = object()
SYNCED = SimpleNamespace(store=SimpleNamespace(manifest=SimpleNamespace(data_version="v5.3")))


class Artifacts:
    """A store whose pointer or artifact fails some times."""

    def __init__(self, *, pointer=(), artifact=()):
        self.pointer, self.artifact, self.opened = list(pointer), list(artifact), 0

    def champions(self, _recipe):
        if self.pointer:
            raise self.pointer.pop(0)
        return ("one",)

    def open(self, identity):
        self.opened += 1
        if self.artifact:
            raise self.artifact.pop(0)
        return SimpleNamespace(id=identity, manifest={"data_version": "v5.3"})


@pytest.fixture(autouse=True)
def scored(monkeypatch):
    monkeypatch.setattr(comparison, "PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(comparison, "_score_champion", lambda *_: SCORES)


def found(artifacts):
    champions = Champions(artifacts=artifacts, recipe="demo", synced=SYNCED)
    return comparison._judge_champion(champions, None, None, lambda *_: None)


def broken():
    return OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("place", ["pointer", "artifact"])
def test_an_error_that_passes_is_waited_for(place):
    """A disk that fails twice costs nothing: the champion is compared."""
    champion = found(Artifacts(**{place: [broken(), broken()]}))

    assert (champion.id, champion.scores, champion.passing) == ("one", SCORES, False)


@pytest.mark.parametrize("place", ["pointer", "artifact"])
@pytest.mark.parametrize(
    "error", [broken(), StateLocked("a sync is writing"), StateUnwritable("busy"), PermissionError(13, "no")]
)
def test_an_error_that_stays_keeps_the_champion(place, error):
    """It is on record as one that could not be compared, not as none."""
    champion = found(Artifacts(**{place: [error] * 9}))

    assert isinstance(champion.scores, Absent)
    assert champion.passing
    assert champion.id == ("one" if place == "artifact" else None)


@pytest.mark.parametrize(
    "error", [KeyError("history"), ArtifactInvalid("damaged"), ValueError("odd"), TypeError("odd")]
)
def test_a_champion_of_an_older_bot_may_be_replaced(error):
    """What can never be compared is tried once and keeps no challenger back."""
    artifacts = Artifacts(artifact=[error] * 9)
    champion = found(artifacts)

    assert isinstance(champion.scores, Absent)
    assert not champion.passing
    assert artifacts.opened == 1


def test_no_champion_is_no_failure():
    """A recipe without a champion has none, and nothing is waited for."""
    champion = found(Artifacts(pointer=[NoChampion("none")]))

    assert (champion.id, champion.scores, champion.passing) == (None, None, False)


@pytest.mark.parametrize(
    "error", [KeyError("history"), TypeError("odd"), ValueError("odd"), broken(), ArtifactInvalid("damaged")]
)
def test_an_older_manifest_of_another_version_ends_no_retrain(monkeypatch, error, tmp_path):
    """A champion of another data version that cannot be opened is none to compare with."""
    monkeypatch.setattr(comparison, "_has_other_version", lambda *_: True)

    def fail(*_):
        raise error

    monkeypatch.setattr(comparison, "open_judged", fail)

    assert open_champion_of_other_version(Artifacts(), "demo", SYNCED, tmp_path) is None
