"""Files of `deploy`: valid by the schema of their tool, with settings and commands that exist."""

import re
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from typer.main import get_command

from bot.cli.main import app
from bot.settings import Settings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
SETTINGS = {f"BOT_{name.upper()}" for name in Settings.model_fields}

TEXT, TEXTS = {"type": "string"}, {"type": "object", "additionalProperties": {"type": ["string", "null"]}}
TASK = {
    "type": "object",
    "additionalProperties": False,
    "required": ["resources", "setup", "run"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-zA-Z0-9]+(?:[._-]{1,2}[a-zA-Z0-9]+)*$"},
        "resources": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "accelerators": {"type": "object", "additionalProperties": {"type": "number"}},
                "cpus": {"type": ["string", "number"], "pattern": r"^\d+\+?$"},
                "memory": {"type": ["string", "number"], "pattern": r"^\d+\+?$"},
                "disk_size": {"type": "integer", "minimum": 64},
            },
        },
        "file_mounts": TEXTS,
        "envs": TEXTS,
        "secrets": TEXTS,
        "setup": TEXT,
        "run": TEXT,
    },
}
"""The part of SkyPilot's schema of a task (0.14) that the file uses; the whole package is too large for a test."""


def documents(name):
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def task():
    (found,) = documents("trainer-sky.yaml")
    return found


def container():
    found = next(one for one in documents("trainer-cronjob.yaml") if one["kind"] == "CronJob")
    (only,) = found["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return only


@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_kubernetes_accepts_the_trainer(version):
    """Every document is valid by Kubernetes' own schema, where unknown keys are refused."""
    for document in documents("trainer-cronjob.yaml"):
        kubernetes_validate.validate(document, version, strict=True)


def test_the_schema_finds_a_wrong_key():
    """A misspelt key of the CronJob is an error of that schema."""
    document = documents("trainer-cronjob.yaml")[1]
    document["spec"]["concurencyPolicy"] = document["spec"].pop("concurrencyPolicy")

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, "1.37", strict=True)


def test_skypilot_accepts_the_task():
    """The task has the keys and types that SkyPilot knows."""
    jsonschema.validate(task(), TASK)


def test_settings_and_commands_of_the_trainers_exist():
    """Every variable is a setting, and every command one of the bot's; neither trainer gets the API key."""
    sky = task()
    variables = [*(one["name"] for one in container()["env"]), *sky["envs"], *sky["secrets"]]
    variables += re.findall(r"\b(BOT_\w+)=", sky["run"])
    commands = [container()["args"][0], *re.findall(r"bin/bot (\w+)", sky["run"])]

    assert set(variables) <= SETTINGS
    assert {"BOT_ARTIFACTS_URL", "BOT_SIGNING_KEY"} <= set(variables)
    assert set(commands) == {"retrain"}
    assert not any("NUMERAI_" in path.read_text(encoding="utf-8") for path in DEPLOY.glob("*.yaml"))


def test_no_machine_gets_the_whole_folder():
    """Only named files travel: the folder may hold the API key, as the documentation recommends."""
    guide = (DEPLOY / "README.md").read_text(encoding="utf-8")
    sent = re.search(r"rsync -a (.*) GPU:", guide)[1].split()
    mounted = [source.removeprefix("./") for source in task()["file_mounts"].values()]

    for names in (sent, mounted):
        assert {"bot", "models", "signing.key"} <= set(names)
        assert not [name for name in names if name in (".", "") or name.startswith("numerai")]
        assert all((DEPLOY.parent / name).exists() for name in set(names) - {"bot.toml", "recipes", "signing.key"})


def test_the_guide_has_five_commands_that_exist():
    """The guide of a rented GPU is five lines, whose commands and options the bot has."""
    guide = (DEPLOY / "README.md").read_text(encoding="utf-8")
    lines = re.search(r"```sh\n(.*?)```", guide, re.DOTALL)[1].splitlines()
    used = [re.findall(r"\bbot (pack|unpack|retrain)([^&'#]*)", line) for line in lines]
    known = get_command(app).commands

    assert len(lines) == 5
    assert {name for line in used for name, _ in line} == {"pack", "unpack", "retrain"}
    for name, words in (one for line in used for one in line):
        options = {option for parameter in known[name].params for option in parameter.opts}
        assert {word for word in words.split() if word.startswith("--")} <= options
