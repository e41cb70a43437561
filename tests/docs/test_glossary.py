"""Words of messages and pages are defined in the glossary."""

import re

from tests.docs.markdown import DOCS, ROOT, read

USED = (
    "account", "adopt", "alert", "artifact", "benchmark model", "bmc", "challenger", "champion", "confirmed", "corr",
    "daemon", "data version", "diagnostics", "drawdown", "drift", "dry run", "embargo", "ensemble", "era", "era store",
    "exposure", "factor history", "fallback", "feature", "feature set", "finding", "fit", "floor", "fnc", "gate",
    "golden batch", "heartbeat", "hold-out", "hook", "horizon", "job", "kind", "leakage", "ledger", "live", "look", "member", "meta model", "mmc",
    "model", "neutralize", "nmr", "pack", "pause", "pay", "promotion", "receipt", "recipe", "recovery", "refit", "retrain", "rollback",
    "round", "sandbox", "sharpe", "slot", "stake", "starter", "state directory", "submission", "sync", "target", "trainer",
    "trouble", "validation eras",
)  # fmt: skip
"""Words of the field and of the bot that its messages and pages use."""


def defined():
    titles = re.findall(r"^### (.+)$", read(DOCS / "concepts" / "glossary.md"), re.MULTILINE)
    return {word.strip().lower() for title in titles for word in title.split(",")}


def shown():
    """Return the text constants of the bot and its templates."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "bot").rglob("*.py")]
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "bot" / "templates").iterdir()]
    return " ".join(sources + pages).lower()


def test_defined_words_are_used():
    """The glossary defines no word that the bot does not use."""
    text = shown().replace("_", " ")

    assert [word for word in defined() if word not in text and word.rstrip("e") not in text] == []


def test_used_words_are_defined():
    """The glossary defines exactly the words that messages and pages use."""
    assert defined() == set(USED)
