"""compose.yaml: what reaches the containers, and that every setting does; the samples beside it are valid."""

import re
import shutil
import subprocess
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from bot.cli.main import app
from bot.sandbox.tournament import DEMO_ACCOUNT
from bot.settings import Settings, load_settings
from bot.system.configuration.setting_sources import SECRETS, file_settings
from bot.training import recipe_file

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())
ANALYZE = shutil.which("systemd-analyze")
FILES = {"./bot.toml:/config/bot.toml:ro", "./recipes:/config/recipes:ro"}


def services():
    return yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]


def variables():
    """Return the variable of every setting."""
    return {name.upper() if name.startswith("numerai_") else f"BOT_{name.upper()}" for name in Settings.model_fields}


def test_every_setting_is_handed_on():
    """The submitting container or the trainer gets every setting; the state directory alone is the image's."""
    found = services()
    handed = found["bot"]["environment"].keys() | found["trainer"]["environment"].keys()

    assert variables() - handed == {"BOT_STATE_DIR"}
    for service in found.values():
        assert service.get("environment", {}).keys() <= variables()


def test_the_hosts_of_the_pages_are_those_of_the_settings():
    """The variable is handed on as it is, so that http_hosts of bot.toml counts; Prometheus asks by the container's own name."""
    bot = services()["bot"]
    scraped = yaml.safe_load((ROOT / "monitoring" / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"][0]

    assert bot["environment"]["BOT_HTTP_HOSTS"] is None
    assert scraped["static_configs"] == [{"targets": [f"{bot['hostname']}:8790"]}]


def test_no_secret_reaches_a_container_that_does_not_use_it():
    """Key, alerts, ping and webhook go to the submitting container, the storage's address to the trainer."""
    found = services()

    assert found["trainer"]["environment"].keys() & set(SECRETS) == {"BOT_ARTIFACTS_URL"}
    assert found["trainer-gpu"]["environment"].keys() & set(SECRETS) == {"BOT_ARTIFACTS_URL"}
    assert found["bot"]["environment"].keys() & set(SECRETS) == {*SECRETS} - {"BOT_ARTIFACTS_URL"}


def test_only_named_files_reach_the_containers_and_all_are_read_only():
    """Settings and recipes reach both, secrets the submitting one; nothing else of the folder is mounted."""
    mounted = {
        name: {one for one in service.get("volumes", ()) if one.startswith(".")} for name, service in services().items()
    }

    assert mounted["bot"] == {*FILES, "./secrets:/run/secrets:ro"}
    for name in ("trainer", "trainer-gpu", "bot-sandbox", "trainer-sandbox"):
        assert mounted[name] == FILES
    assert mounted["sandbox"] == set()
    assert all(one.endswith(":ro") and one.startswith("./") for each in mounted.values() for one in each)


def test_settings_are_read_where_no_container_writes():
    """The images' working folder is root's, and the volume that the trainer writes is another one."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")

    assert re.findall(r"^WORKDIR (\S+)", text, re.MULTILINE)[-1] == "/config"
    assert "BOT_STATE_DIR=/data" in text
    assert "bot /config" not in text  # its owner is root, as of everything that is not handed to the bot's user
    assert all(service.get("read_only") for service in services().values())


def test_the_sandbox_fills_its_own_model_whatever_the_file_says(tmp_path, monkeypatch):
    """Slots and accounts of bot.toml are replaced in the sandbox profile, and its recipe is the one that was asked for."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.toml").write_text('base = "demo"\n')
    (tmp_path / "bot.toml").write_text(
        'min_rows = 7\n[accounts.a]\npublic_id_file = "x"\nsecret_key_file = "y"\nslots = { other = "standard" }\n'
    )
    monkeypatch.chdir(tmp_path)
    for name, value in services()["bot-sandbox"]["environment"].items():
        shown = re.sub(r"\$\{SANDBOX_RECIPE:-\w+\}", "mine", value)
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:-(\w+)\}", r"\1", shown))

    settings = load_settings()

    assert settings.slots == {next(iter(DEMO_ACCOUNT.models)): "mine"}
    assert (settings.accounts, settings.min_rows) == ((), 7)


def test_the_file_beside_compose_sets_nothing(monkeypatch):
    """The bot.toml of the checkout is a place to write into, without a setting."""
    monkeypatch.chdir(ROOT)

    assert file_settings() == {}


@pytest.mark.parametrize("shown", [False, True])
def test_the_sample_settings_are_valid(tmp_path, monkeypatch, shown):
    """The sample loads as it is, and with each of its commented settings in use."""
    text = (ROOT / "examples" / "bot.toml").read_text(encoding="utf-8")
    if shown:
        text = re.sub(r"^# (?=\w+ = |\[)", "", text, flags=re.MULTILINE)
    (tmp_path / "bot.toml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    assert load_settings().slots == {"my_model": "standard"}
    assert len(load_settings().accounts) == shown
    assert len(tomllib.loads(text)) == (9 if shown else 4)


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "recipes").iterdir()), ids=lambda path: path.stem)
def test_the_sample_recipes_are_valid(path):
    """Each recipe of the examples can be read."""
    assert recipe_file.read(path).members


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_run_commands_that_exist(path):
    """Each unit has its sections; the services run the bot without rights, and never write their settings."""
    unit = ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str
    unit.read(path, encoding="utf-8")
    sections = {".service": "Service", ".timer": "Timer"}

    assert unit.has_section("Unit")
    assert unit.has_section(sections[path.suffix])
    if path.suffix == ".timer":
        assert path.with_suffix(".service") in UNITS
        return
    service = unit["Service"]
    command, *words = re.fullmatch(r"/opt/numerai-bot/bin/bot (.*)", service["ExecStart"])[1].split()
    options = {option for parameter in get_command(app).commands[command].params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options
    # The state directory is a key of bot.toml, which commands of a person read, too.
    assert {pair.partition("=")[0] for pair in service["Environment"].split()} <= variables() - {"BOT_STATE_DIR"}
    assert (service["User"], service["ProtectSystem"], service["NoNewPrivileges"]) == ("numerai-bot", "strict", "yes")
    assert not service["WorkingDirectory"].startswith("/var/lib")


@pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed")
def test_systemd_accepts_the_units(tmp_path):
    """The checker of systemd finds no fault in the units, with another program in place of the bot's."""
    program = shutil.which("true")
    for path in UNITS:
        text = path.read_text(encoding="utf-8")
        (tmp_path / path.name).write_text(text.replace("/opt/numerai-bot/bin/bot", program), encoding="utf-8")

    done = subprocess.run(
        [ANALYZE, "verify", *(str(tmp_path / path.name) for path in UNITS)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert [line for line in done.stderr.splitlines() if str(tmp_path) in line] == []
