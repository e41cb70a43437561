"""Links, commands, settings and recipes of README and documentation are those of the code."""

import re
import tomllib

import apprise
import pytest
import yaml

from bot.settings import load_settings
from bot.training import recipe_file
from docs.generator.code import alerts
from docs.generator.commands import tree
from docs.generator.pages import FOLDER, pages
from tests.docs.markdown import DOCS, PAGES, ROOT, anchors, commands, links, prose, read, toml

NAMED = {page.relative_to(ROOT).as_posix(): page for page in PAGES}
TREE = tree()
OF_EVERY_COMMAND = {"--help", "--version", "--install-completion", "--show-completion"}


def problem(words):
    """Return what is wrong with a call of ``bot``, given as its words; ``None`` where it can be parsed."""
    if not words or words[0].startswith("-"):
        return None if set(words) <= OF_EVERY_COMMAND else f"unknown option {words[0]}"
    depth = max((n for n in range(1, len(words) + 1) if tuple(words[:n]) in TREE), default=0)
    if not depth:
        return f"unknown command {words[0]}"
    command = TREE[tuple(words[:depth])]
    options = {name: one for one in command.params for name in (*one.opts, *one.secondary_opts) if name.startswith("-")}
    positions = [one for one in command.params if one.param_type_name == "argument"]
    waiting, given = list(words[depth:]), 0
    while waiting:
        word = waiting.pop(0)
        name = word.partition("=")[0]
        if not word.startswith("-"):
            given += 1
        elif name in options:
            if not options[name].is_flag and "=" not in word and waiting:
                waiting.pop(0)
        elif name not in OF_EVERY_COMMAND:
            return f"`bot {' '.join(words[:depth])}` has no option {name}"
    if given > len(positions) and not any(one.nargs == -1 for one in positions):
        return f"`bot {' '.join(words)}` has too many arguments"
    return None


@pytest.mark.parametrize("name", NAMED)
def test_links_lead_somewhere(name):
    """Every link of a page leads to a file of the repository, and its anchor to a heading."""
    broken = []
    for target in links(NAMED[name]):
        path, _, anchor = target.partition("#")
        page = (NAMED[name].parent / path).resolve() if path else NAMED[name]
        if not page.exists() or (anchor and not anchor.startswith("only-") and anchor not in anchors(page)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("name", NAMED)
def test_commands_can_be_parsed(name):
    """Every call of `bot` in a page is a command with options that it has."""
    assert [found for words in commands(NAMED[name]) if (found := problem(words))] == []


@pytest.mark.parametrize(
    "words", ["retrian", "retrain --pan", "promote ID ID", "evaluate compare A B --sed 3", "--json", "status --jsn"]
)
def test_a_wrong_command_is_found(words):
    """The check of commands finds a wrong name, a wrong option and an argument too many."""
    assert problem(words.split()) is not None


def test_every_command_is_in_a_page():
    """Every command is used somewhere outside of the generated reference."""
    used = {tuple(words[:n]) for page in PAGES if page.parent != FOLDER for words in commands(page) for n in (1, 2)}

    assert set(TREE) - used == set()


@pytest.mark.parametrize("name", [name for name, page in NAMED.items() if toml(page)])
def test_samples_of_settings_and_recipes_are_accepted(name, tmp_path, monkeypatch):
    """Every TOML block names its file, and the bot accepts it."""
    monkeypatch.chdir(tmp_path)
    for code in toml(NAMED[name]):
        path = tmp_path / re.match(r"# (bot\.toml|recipes/\w+\.toml)\n", code)[1]
        path.parent.mkdir(exist_ok=True)
        path.write_text(code, encoding="utf-8")
        if path.name == "bot.toml":
            slots = tomllib.loads(code).get("slots", {})
            assert load_settings().slots == slots
            path.unlink()
        else:
            assert recipe_file.read(path).members


def test_reference_is_current():
    """The pages of the reference equal what the code says; `make docs` writes them."""
    assert {path.name for path in FOLDER.glob("*.md")} == set(pages())
    assert [name for name, text in pages().items() if read(FOLDER / name) != text] == []


def test_every_alert_has_an_entry_in_the_runbook():
    """Each alert that the bot or Prometheus raises has a heading in the runbook, and no heading is about another one."""
    rules = yaml.safe_load((ROOT / "monitoring" / "alerts.yml").read_text())["groups"]
    raised = {rule["alert"].lower() for group in rules for rule in group["rules"]}
    raised |= {f"alert-{one.name}" for one in alerts()}

    titles = re.findall(r"^### (.+)$", read(DOCS / "runbook.md"), re.MULTILINE)
    assert {title.lower().replace(": ", "-") for title in titles} == raised


def test_sample_addresses_of_alerts_are_known():
    """The library apprise accepts the address of each service on the page about alerts."""
    rows = re.findall(r"^\| ([\w -]+) \| `(\w+://\S+)`", read(DOCS / "how-to" / "alerts.md"), re.MULTILINE)

    assert {"Telegram", "Discord", "e-mail", "ntfy"} <= {name for name, _ in rows}
    assert [name for name, address in rows if not apprise.Apprise().add(address)] == []


def test_the_readme_is_short():
    """The README has at most 150 lines, and its pictures have at most 150 kB."""
    assert len(read(ROOT / "README.md").splitlines()) <= 150
    assert [path.name for path in (DOCS / "images").iterdir() if path.stat().st_size > 150_000] == []


def test_every_page_is_in_the_navigation():
    """Each page of the site is in the navigation once."""
    text = re.sub(r"toggle:.*", "", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = re.findall(r": ([\w/-]+\.md)$", text, re.MULTILINE)

    assert sorted(listed) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def test_pages_have_one_title():
    """Each page begins with its only title of the first level."""
    for page in DOCS.rglob("*.md"):
        assert len(re.findall(r"^# ", prose(read(page)), re.MULTILINE)) == 1, page
