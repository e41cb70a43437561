"""The README and the pages of ``docs`` as text: headings, links, code and TOML."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "deploy" / "README.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"[|;&<>]")
CALL = re.compile(r"(?:^(?:\w+=\S* )*|/|-m |exec |\$ )bot ((?=[a-z-]).*)")


def read(page):
    return page.read_text(encoding="utf-8")


def prose(text):
    """Return the text without fenced code."""
    return FENCE.sub("", text)


def anchors(page):
    """Return the anchors that both GitHub and the site give to the page's headings."""
    titles = re.findall(r"^#{1,6} (.+)$", prose(read(page)), re.MULTILINE)
    kept = [re.sub(r"[^\w\s-]", "", title.lower()).strip() for title in titles]
    return {one.replace(" ", "-") for one in kept} & {re.sub(r"[-\s]+", "-", one) for one in kept}


def links(page):
    """Return the targets of the page's links and pictures that lead to files."""
    text = re.sub(r"`[^`\n]*`", "", prose(read(page)))
    found = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
    return [target for pair in found for target in pair if target and not target.startswith(("http://", "https://"))]


def commands(page):
    """Return every call of ``bot`` in the page's code as its words, without comments and the rest of a shell's line."""
    text = read(page)
    blocks = [(language, line) for language, code in FENCE.findall(text) for line in code.splitlines()]
    lines = [line for language, line in blocks if language == "sh" or (language == "text" and line.startswith("$ "))]
    lines += re.findall(r"`([^`\n]+)`", prose(text))
    return [words for line in lines for words in calls(line)]


def calls(line):
    """Return the calls of ``bot`` in a line of shell."""
    if "docker" in line and "exec" not in line:  # there, `bot` is a service
        return []
    for part in SHELL.split(line.split(" #")[0].replace("exec bot ", "exec ")):
        if found := CALL.search(part.strip("'\" ")):
            yield shlex.split(found[1].replace("'", " "))


def toml(page):
    """Return the page's TOML blocks."""
    return [code for language, code in FENCE.findall(read(page)) if language == "toml"]
