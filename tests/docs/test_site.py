"""The documentation builds as a site that needs no network, and the first steps print what the README shows."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.generator.first_steps import commands, renewed
from tests.docs.markdown import ROOT, read

ASSET = re.compile(
    r"<(?:script|img|source|iframe)[^>]+src=\"?https?:|<link[^>]+(?:stylesheet|preload|icon)[^>]+href=\"?https?:"
)
IMPORT = re.compile(r"@import[^;]*https?:|url\(\"?https?:")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built strictly: a warning is an error."""
    pytest.importorskip("zensical")
    root = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "mkdocs.yml", root)
    shutil.copytree(ROOT / "docs", root / "docs")
    done = subprocess.run(
        [Path(sys.executable).with_name("zensical"), "build", "--strict"],
        cwd=root,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return root / ".release" / "site"


def test_the_site_has_every_page(site):
    """Every page is built; the generator is not published."""
    pages = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}

    assert pages <= {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    assert not list(site.rglob("*.py"))


def test_the_site_loads_nothing_from_elsewhere(site):
    """No page, style or script refers to a file on another host."""
    assert [path.name for path in site.rglob("*.html") if ASSET.search(path.read_text(encoding="utf-8"))] == []
    assert [path.name for path in site.rglob("*.css") if IMPORT.search(path.read_text(encoding="utf-8"))] == []


def heads(text):
    """Return the beginning of each line of output, without what differs between two runs."""
    block = text[text.index("```text\n$ bot") :].partition("\n```\n")[0]
    words = (re.sub(r"[0-9a-f-]*\d[\w.:/,-]*", "0", line).split() for line in block.splitlines())
    return [" ".join(line[:2]) for line in words if line and not set(line[0]) & set("┏┡└┌")]


@pytest.mark.slow
def test_the_first_steps_print_what_the_readme_shows():
    """The README's commands run one after the other in a fresh folder, and their output has the lines shown."""
    text = read(ROOT / "README.md")

    assert len(commands(text)) == 5
    assert heads(renewed(text)) == heads(text)
