"""No spelling of a secret leaves the process."""

import base64
import json
from html import escape
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.system import redaction

KEY = "SECRET/KEY+of=38&chars<with>\"signs'"
PAIR = f"PUBLICID${KEY}"
SPELLINGS = {
    "plain": KEY,
    "percent-encoded": quote(KEY),
    "percent-encoded in full": quote(KEY, safe=""),
    "in lower case": quote(KEY, safe="").lower(),
    "JSON": json.dumps(KEY)[1:-1],
    "JSON in JSON": json.dumps(json.dumps(KEY)),
    "HTML": escape(KEY),
    "hexadecimal": KEY.encode().hex(),
}


@pytest.fixture(autouse=True)
def _hidden():
    redaction.hide([KEY, "PUBLICID"])
    yield
    redaction.forget()


@pytest.mark.parametrize("form", SPELLINGS)
def test_every_spelling_is_hidden(form):
    """A secret is hidden as servers and libraries repeat it."""
    text = redaction.redact(f"answer: {SPELLINGS[form]} end")

    assert SPELLINGS[form] not in text
    assert text.startswith("answer: ")
    assert text.endswith(" end") or "JSON" in form


@given(before=st.text(max_size=5), after=st.text(max_size=5))
def test_base64_of_a_text_with_the_key_is_hidden(before, after):
    """Encoded together with anything, no more than a few bytes of the key can be decoded."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(f"{before}{KEY}{after}".encode()).decode()

        assert redaction.STARS in redaction.redact(f'"{encoded}"')


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Token OTHERPUB$OTHERSEC",
        "{'Authorization': 'Token OTHERPUB$OTHERSEC'}",
        '{"authorization": "Token OTHERPUB$OTHERSEC"}',
        '"{\\"authorization\\": \\"Bearer OTHERSEC\\"}"',
        "not authorized for Token OTHERPUB$OTHERSEC",
        "token OTHERPUB%24OTHERSEC is expired",
        "https://host/file?X-Amz-Signature=OTHERSEC&x=1",
    ],
)
def test_headers_and_signatures_of_any_key_are_hidden(text):
    """An authorization header is hidden also where its key is not known, such as one that was replaced."""
    assert "OTHERSEC" not in redaction.redact(text)


@pytest.mark.parametrize(
    "text", ["the token expired yesterday", "no authorization", "round 1405, slot mixer: confirmed"]
)
def test_other_text_stays(text):
    """Words that resemble headers are not changed."""
    assert redaction.redact(text) == text


def test_parts_of_an_address_are_hidden_but_not_its_host():
    """Libraries log parts of an alert's address one by one; the host of a service is no secret."""
    redaction.hide(["json://someuser:PASSWORD@alerts.example/hook-of-mine"])

    text = redaction.redact("PASSWORD at alerts.example for /hook-of-mine")

    assert text == "*** at alerts.example for /***"


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("sftp://trainer:P4SSWORD@host/packs", {"trainer:P4SSWORD", "P4SSWORD"}),
        (
            "sftp://trainer:P4SS%2FWORD@host/packs",
            {"trainer:P4SS%2FWORD", "trainer:P4SS/WORD", "P4SS%2FWORD", "P4SS/WORD"},
        ),
        ("simplecache::ftp://u:A@B:C@host/packs", {"u:A@B:C", "A@B:C"}),
        (
            "https://ghp_0123456789abcdef@host/packs?sig=SIGNED0123456789&x=true",
            {"ghp_0123456789abcdef", "SIGNED0123456789"},
        ),
        ("sftp://root@host/packs", set()),
        ("s3://bucket/packs", set()),
        ("/srv/packs", set()),
    ],
)
def test_only_credentials_of_a_storage_are_secret(url, secrets):
    """Passwords and tokens are hidden; host, path and user would spoil every text."""
    assert redaction.credentials_of(url) == secrets
    assert not any(one in redaction.without_credentials(url) for one in secrets if len(one) >= redaction.MIN_SECRET)
