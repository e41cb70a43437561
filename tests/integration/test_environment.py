"""What lies around the bot decides nothing: files and variables of others, odd files of the operator, another user's state."""

import pytest

from tests.harness.surroundings import CASES, can_be_another_user, play, play_another_user

QUICK = (("submit",), ("status",))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_surroundings_decide_nothing(installation, case):
    """A command ends as without the odd surroundings, or with 78 and one line that names them."""
    commands = [command for command in case.commands if command in QUICK] or case.commands[:1]
    installation.settings["BOT_MAX_EXPOSURE"] = "1"
    played = play(installation, [type(case)(**{**vars(case), "commands": commands})])

    assert played.cases
    assert played.breaches == []


@pytest.mark.skipif(not can_be_another_user(), reason="only root can give files to another user")
def test_another_users_state_is_named(installation):
    """A command of a user who may not write the state ends with 78 and names the owner; status is shown."""
    installation.submit(max_exposure=1.0)
    played = play_another_user(installation, modes=[0o755])

    assert played.cases
    assert played.breaches == []
