"""What keeps an artifact from being loaded: its own fault, or that of the machine."""

import errno
from pathlib import Path

import pytest

from bot.errors import ArtifactInvalid
from bot.serving import scorer
from bot.serving.artifacts import Artifact


@pytest.mark.parametrize(
    ("number", "error"), [(errno.EMFILE, OSError), (errno.ENOMEM, OSError), (errno.EIO, ArtifactInvalid)]
)
def test_a_shortage_of_the_machine_is_no_fault_of_the_artifact(monkeypatch, number, error):
    """Too many open files or too little memory end the attempt, and no older champion fills the round instead."""

    def short(_manifest):
        raise OSError(number, "a shortage")

    monkeypatch.setattr(scorer, "weights_of", short)
    with pytest.raises(error) as raised:
        scorer.Scorer(Artifact(id="2026-11-24T120000Z-0000", folder=Path("nowhere"), manifest={}))

    assert type(raised.value) is error
