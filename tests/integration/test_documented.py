"""The page about files knows what a bot writes, and the commands of the documentation work."""

import shutil

import pytest
from typer.testing import CliRunner

from bot.cli.main import app
from docs.generator.files import pattern_of
from tests.docs.markdown import FENCE, PAGES, calls, read, toml

OTHERWISE = {
    "retrain": "trains for minutes; the first steps of the README run it",
    "tune": "trains for minutes",
    "evaluate compare": "trains for minutes",
    "evaluate e0": "trains for minutes",
    "evaluate e1": "trains for minutes",
    "run": "runs until it is stopped",
    "sandbox": "runs until it is stopped",
    "status --watch": "runs until it is stopped",
    "demo": "has a test of its own",
    "init": "asks questions",
    "adopt": "needs a trained program",
    "unpack": "needs a pack of another machine",
    "export": "makes an environment from a package index",
    "pause": "names a slot of one's own",
    "retry": "needs a running bot",
    "alert": "needs an address of alerts",
    "rollback": "needs a champion before the champion",
}
"""Commands of the documentation that other tests run, by the words that they begin with, and why not here."""


def documented():
    """Return the calls of the documentation's shell blocks that run here, each once; the sample recipe needs more eras."""
    blocks = [code for page in PAGES for language, code in FENCE.findall(read(page)) if language == "sh"]
    found = dict.fromkeys(tuple(words) for code in blocks for line in code.splitlines() for words in calls(line))
    return [
        words
        for words in found
        if "--account" not in words
        and (words == ("retrain", "--plan") or not any(" ".join(words).startswith(one) for one in OTHERWISE))
    ]


def test_the_page_of_files_knows_every_file(installation, trained):
    """Every file that a bot keeps after a training and a round is on the page about files."""
    installation.bot("submit", "--round", "latest")
    found = [
        path.relative_to(state).as_posix()
        for state in (trained, installation.state)
        for path in state.rglob("*")
        if path.is_file()
    ]

    assert any(path.startswith("rounds/") for path in found)
    assert any(path.startswith("store/") for path in found)
    assert [path for path in found if pattern_of(path) is None] == []


@pytest.mark.slow
def test_documented_commands_work(installation, trained, monkeypatch):
    """Each command of the documentation, run with its sample recipes on a trained bot, ends as it should."""
    shutil.copytree(trained, installation.state, dirs_exist_ok=True)
    monkeypatch.chdir(installation.root)
    for name, value in installation.environment.items():
        monkeypatch.setenv(name, value)
    (installation.root / "recipes").mkdir()
    for code in (code for page in PAGES for code in toml(page) if code.startswith("# recipes/mine.toml\nbase")):
        (installation.root / "recipes" / "mine.toml").write_text(code, encoding="utf-8")
    champion = next((installation.state / "artifacts").glob("[0-9]*")).name

    failed = []
    for words in sorted(documented(), key=lambda words: words[:1] != ("submit",)):
        result = CliRunner().invoke(app, [champion if word.startswith("2026-") else word for word in words])
        expected = 75 if words[:1] == ("health",) else 0  # no daemon runs here
        code = getattr(result.exception, "exit_code", result.exit_code)
        if code != expected:
            failed.append((" ".join(words), code, str(result.exception), result.output[-300:]))

    assert len(documented()) > 15
    assert failed == []
