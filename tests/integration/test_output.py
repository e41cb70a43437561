"""Output that cannot be written costs nothing: rounds are confirmed, and exit codes are those of the work."""

import base64
import json
from urllib.parse import quote

import pytest

from bot.sandbox.faults import Fault
from bot.sandbox.tournament import DEMO_ACCOUNT
from tests.harness.outputs import KINDS, Played, exit_code, play, play_daemon, unwritable
from tests.integration.test_round import held


@pytest.mark.parametrize("kind", KINDS)
def test_a_round_is_confirmed_without_any_output(installation, sandbox, kind):
    """`bot submit` confirms the round and exits with 0 while neither stream can be written."""
    with unwritable(kind, ("stdout", "stderr"), installation.root) as arguments:
        codes = [exit_code(installation, words, **arguments) for words in (("submit", "--dry-run"), ("submit",))]

    assert codes == [0, 0]
    assert len(held(sandbox)) == 1


def test_exit_codes_are_those_of_the_work(installation):
    """Status, health and a wrong option end with the code that they have on a terminal."""
    commands = [("status",), ("health",), ("submit", "--no-such-option"), ("status", "9")]
    played = play(installation, kinds=["full disk", "closed"], streams=[("stdout", "stderr")], commands=commands)

    assert played.breaches == []


@pytest.mark.parametrize("kind", ["full disk", "terminal that is gone", "closed"])
def test_the_daemon_goes_on_without_any_output(installation, kind):
    """`bot run` confirms the round, goes on, and stops with 0 when it is asked to."""
    played = Played(name="daemon")
    play_daemon(installation, kind, played)

    assert played.breaches == []


PAIR = f"{DEMO_ACCOUNT.public_id}${DEMO_ACCOUNT.secret_key}"
SPELLINGS = {
    "plain": f"Authorization: Token {PAIR}",
    "percent-encoded": quote(f"Token {PAIR}", safe=""),
    "base64": base64.b64encode(f"x:{PAIR}".encode()).decode(),
    "JSON": json.dumps(json.dumps({"authorization": f"Token {PAIR}"})),
}


@pytest.mark.parametrize(
    ("spelling", "command"), [(one, "doctor") for one in SPELLINGS] + [("plain", "submit")], ids="{}".format
)  # `submit` asks again for half a minute
def test_an_answer_that_repeats_the_key_is_shown_without_it(installation, sandbox, spelling, command):
    """An error of the API that repeats the authorization header is starred on the terminal and in every file."""
    message = f"refused: {SPELLINGS[spelling]}"
    sandbox.faults.add(Fault(operation="account", kind="graphql_error", message=message, times=99))
    done = installation.bot(command)
    kept = [
        path.read_bytes() for path in installation.state.rglob("*") if path.is_file() and "artifacts" not in path.parts
    ]
    shown = [done.stdout.encode(), done.stderr.encode(), *kept]

    assert done.returncode != 0
    assert "***" in done.stderr + done.stdout
    for part in (DEMO_ACCOUNT.secret_key, SPELLINGS[spelling]):
        assert not [one for one in shown if part.encode() in one]
