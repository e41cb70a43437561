"""An attempt that fails leaves its reason in the ledger."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from bot.errors import StateForbidden
from bot.record.ledger import Ledger
from bot.submission.submit import Submitter
from bot.system.files import publish
from bot.tournament.rounds import Round
from bot.tournament.slots import Slot
from tests.daemon.fakes import OPENED

ROUND = Round(number=1405, opens_at=OPENED, closes_at=OPENED + timedelta(hours=1))


class Client:
    """Tells the time only."""

    def server_now(self):
        return OPENED


@dataclass
class Writing:
    """Fallbacks that need the folder of the round at once."""

    state_dir: Path

    def find(self, slot, number):
        publish(self.state_dir / "rounds" / str(number) / slot.name / "draft.csv", b"")


def test_a_refused_file_is_the_reason_of_the_round(tmp_path):
    """What the operating system refuses is recorded with the path and the way to fix it, and raised."""
    ledger, folder = Ledger(tmp_path / "ledger.sqlite"), tmp_path / "rounds" / "1405"
    folder.parent.mkdir()
    folder.write_text("a file where the folder belongs")
    submitter = Submitter(client=Client(), ledger=ledger, fallbacks=Writing(tmp_path), live=True)
    with pytest.raises(StateForbidden) as raised:
        submitter.submit(ROUND, Slot(name="first", model_id="m", recipe="demo"))
    (failure,) = ledger.failures(1405)

    assert (failure.slot, failure.kind, failure.message) == ("first", "needs the operator", str(raised.value))
    assert str(folder) in failure.headline
    assert failure.remedy == "move it away"
