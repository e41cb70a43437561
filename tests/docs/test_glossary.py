"""Words of messages and pages are defined in the glossary; the words are found by rule."""

import re

from tests.docs.field_words import terms
from tests.docs.markdown import DOCS, ROOT, read

GATES = (DOCS / "inside" / "round.md", DOCS / "inside" / "judgement.md")
"""Pages with the tables of gates, which the entry `gate` leads to."""

PLAIN = {
    "words of every sentence": (
        "a after against ahead an and beside besides by do each for from here how if in is it less least most not now of on or short that the their this"
        " to too today what when who why with you"
    ),
    "quantities and times": "best begun day days hours largest last max mean newest per seconds sum third time whole worst",
    "parts of a page or of a table": (
        "answer arguments cases common comparison content detail difference differences different effect event id ids input limit meaning measure message name"
        " note option output page part parts question range report result side stage state topic value work"
    ),
    "verbs": (
        "adds adjusted alone assigned calculated call checked computed cost drawn expected fall filled fixed gain gives happens known"
        " measured measures needs ok paid promoted reads refused refuses repeated running seen sent set shown train trained uploaded warning"
    ),
    "a computer": (
        "address anonymous clock code columns command cpu data device disk exit failure file json mb memory mib mode numerai pandas peak ping port"
        " profile scripts service setting settings timeline tool upgrade web wsl"
    ),
    "statistics and models that a textbook defines": (
        "base correlation decision good groups historical history like loss official paper predictions scatter standard static strength"
        " validation vs"
    ),
    "a short form of a word that is defined": "benchmark bots hosted",
}  # fmt: skip
"""Words that need no entry, by the reason."""


def defined():
    titles = re.findall(r"^### (.+)$", read(DOCS / "concepts" / "glossary.md"), re.MULTILINE)
    return {word.strip().lower() for title in titles for word in title.split(",")}


def in_code(*pages):
    """Return what stands as code in pages."""
    return {code for page in pages for code in re.findall(r"`([^`\n]+)`", read(page))}


def left_of(term, words):
    """Return the words of a term that no word of *words* covers; a word covers its plural and its verb too."""
    text = re.sub(r"'s\b", "", term.replace("_", " "))
    for word in sorted(words, key=len, reverse=True):
        text = re.sub(rf"\b{re.escape(word)}(s|es|d|ed|ing)?\b", " ", text)
    return re.findall(r"[a-z][a-z-]+", text)


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
    """Every head of a table, state, gate, job, alert and bold word has its entry, is a gate of a table, or is plain English."""
    known = in_code(*GATES, DOCS / "concepts" / "glossary.md")
    words = defined() | {word for group in PLAIN.values() for word in group.split()}
    undefined = {
        term: sorted(places)
        for term, places in terms().items()
        if term not in known
        and not any(term.strip("_") in one for one in known if "_" in term)
        and left_of(term, words)
    }

    assert undefined == {}


def test_plain_words_need_their_place():
    """The list of plain words has none that nothing shows, and none that the glossary defines."""
    text = " ".join(terms()).replace("_", " ")
    plain = [word for group in PLAIN.values() for word in group.split()]

    assert [word for word in plain if not re.search(rf"\b{word}\b", text)] == []
    assert not defined() & set(plain)


def test_the_rule_finds_terms():
    """Heads of tables of terminal, pages and documentation, states, gates, checks, jobs and bold words are found."""
    found = terms()

    assert {
        "max drawdown",
        "confirmed",
        "like_champion",
        "diagnostics",
        "history",
        "detectable",
        "paid nmr",
        "known ahead",
    } <= set(found)
    assert "promote.py" not in found
    assert left_of("spread of members", defined()) == ["spread", "of"]
