"""`bot submit` without what it needs."""

import pytest
from typer.testing import CliRunner

from bot.cli.everyday import submit
from bot.cli.main import app
from bot.errors import BadCredentials, NumeraiUnavailable
from bot.tournament.client import NumeraiClient


@pytest.mark.parametrize(("key", "error"), [(None, BadCredentials), ("KEY", NumeraiUnavailable)])
def test_a_missing_key_is_named_before_an_api_that_does_not_answer(monkeypatch, key, error):
    """Without a key, the error is the key's, which a person can fix; with one, it is that of the connection."""
    client = NumeraiClient(api_url="http://127.0.0.1:9/", public_id=key, secret_key=key)
    monkeypatch.setattr(client, "current_round", unanswered)

    with pytest.raises(error):
        submit._open_round(client)


def test_a_round_that_is_no_number_is_a_wrong_option():
    """The command line is wrong then: no round is looked for."""
    result = CliRunner().invoke(app, ["submit", "--round", "foo"])

    assert result.exit_code == 2
    assert "'foo' is neither latest nor a number" in result.stderr


def unanswered():
    raise NumeraiUnavailable("127.0.0.1 did not answer: ConnectionError")
