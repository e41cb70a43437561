"""The terms that messages and pages show as names: found in the code, the templates and the documentation by rule."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs.markdown import DOCS, ROOT

NAMED = {"gate", "state", "rung", "outcome", "verdict"}
"""Keywords and keys whose text is a name that people read."""

CHECKS = {"ok", "note", "warning", "failure", "fixed"}
"""Functions of `bot doctor` that begin with the name of a check."""

HEAD = re.compile(r"<(th|dt|h[1-6])\b[^>]*>([^<{]+)")
BOLD = re.compile(r"\*\*([^*\n]+)\*\*")
TABLE = re.compile(r"^\|(.+)\|\n\|[-:| ]+\|$", re.MULTILINE)


def terms() -> dict[str, set[str]]:
    """Return where each term is shown, by the term."""
    found: dict[str, set[str]] = {}
    for place, term in (*_of_code(), *_of_templates(), *_of_pages()):
        found.setdefault(term.strip().lower(), set()).add(place)
    return found


def _of_templates() -> Iterator[tuple[str, str]]:
    """Yield heads of tables, of lists and of parts of pages."""
    for path in sorted((ROOT / "bot" / "templates").glob("*.j2")):
        for _, text in HEAD.findall(path.read_text(encoding="utf-8")):
            yield path.name, text


def _of_pages() -> Iterator[tuple[str, str]]:
    """Yield bold words and heads of tables of the documentation's pages; the reference is made from the code."""
    for path in sorted({*DOCS.rglob("*.md"), ROOT / "README.md"} - {*(DOCS / "reference").iterdir()}):
        text = path.read_text(encoding="utf-8")
        cells = (cell for row in TABLE.findall(text) for cell in row.split("|"))
        for term in (*BOLD.findall(text), *cells):
            yield path.name, re.sub(r"`[^`]*`", "", term)


def _of_code() -> Iterator[tuple[str, str]]:
    """Yield heads of tables on the terminal, and names of gates, states, fallbacks, jobs, alerts and checks."""
    for path in sorted((ROOT / "bot").rglob("*.py")):
        if "sandbox" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for text in _names(node, path):
                yield path.name, text


def _names(node: ast.AST, path: Path) -> Iterator[str]:
    if isinstance(node, ast.For) and any(_calls(one, "add_column") for one in ast.walk(node)):
        yield from _texts(node.iter)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value in NAMED:
                yield from _texts(value)
    elif isinstance(node, ast.Call):
        named = NAMED | ({"name"} if _calls(node, "Job") else set())
        for one in node.keywords:
            if one.arg in named:
                yield from _texts(one.value)
        in_doctor = path.parent.name == "doctor" and any(_calls(node, name) for name in CHECKS)
        if node.args and (in_doctor or _calls(node, "alert") or _calls(node, "add_column")):
            yield from _texts(node.args[0])


def _calls(node: ast.AST, name: str) -> bool:
    """Return whether a node is a call of a function or method of that name."""
    return isinstance(node, ast.Call) and name in (getattr(node.func, "id", None), getattr(node.func, "attr", None))


def _texts(node: ast.expr) -> Iterator[str]:
    """Yield a constant text, the parts of one that is put together, and those of a tuple."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr | ast.Tuple | ast.List):
        for one in node.values if isinstance(node, ast.JoinedStr) else node.elts:
            yield from _texts(one)
    elif isinstance(node, ast.IfExp):
        yield from (*_texts(node.body), *_texts(node.orelse))
