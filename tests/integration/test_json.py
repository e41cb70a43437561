"""Commands that show something print one JSON object where a program asks for it, also in place of an error."""

import json

import pytest

from tests.harness.installation import FIRST_ROUND, SLOT

KEYS = {
    ("status",): {"mode", "rounds", "alerts", "paused", "champions", "chores", "daemon", "next_opening", "notes"},
    ("health",): {"healthy", "problems"},
    ("scores", "--offline"): {"rounds", "artifacts", "notes", "exported_to"},
    ("backup",): {"backup", "freed_bytes"},
    ("verify",): {"artifacts"},
    ("recipes",): {"recipes"},
    ("recipes", "show", "demo"): {"members"},
    ("pause",): {"paused"},
    ("resume",): {"resumed", "paused"},
    ("promote", "0"): {"error"},
    ("status", "7"): {"error"},
    ("rollback",): {"error"},
    ("report", "0"): {"error"},
    ("export", "numerai-model", "--upload", "--slot", SLOT): {"error"},
}
"""Keys that each command's object has, in a state with one champion and no round."""


@pytest.mark.parametrize("command", KEYS, ids=" ".join)
def test_the_answer_is_one_object(installation, command):
    """Standard output holds one JSON object with the documented keys, and nothing else; the exit code is unchanged."""
    words = list(command)
    done, plain = installation.bot(*words, "--json"), installation.bot(*words)

    assert KEYS[command] <= set(json.loads(done.stdout)), done.stdout
    assert done.returncode == plain.returncode


def test_a_submission_is_one_object_of_receipts_and_errors(installation):
    """All slots are in one object; where one is refused its error has kind and exit code, and is one line for a person."""
    refused = installation.bot("submit", "--json", BOT_MAX_EXPOSURE="0.0001")
    sent = installation.bot("submit", "--json")
    (error,) = json.loads(refused.stdout)["errors"]
    (receipt,) = json.loads(sent.stdout)["receipts"]

    assert (refused.returncode, error["kind"], error["exit_code"]) == (65, "GateFailed", 65)
    assert refused.stderr.splitlines()[-1].startswith("error: exposure:")
    assert sent.returncode == 0, sent.stderr
    assert (receipt["round"], receipt["slot"], receipt["outcome"]) == (FIRST_ROUND, SLOT, "confirmed")
    assert receipt["gates"][0]["gate"] == "ids"
