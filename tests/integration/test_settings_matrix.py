"""Every setting, in every form that it may be given, goes through doctor, status and submit."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from bot.cli.main import app
from bot.doctor import _numerai
from bot.doctor import examination as doctor
from bot.sandbox.tournament import DEMO_ACCOUNT
from bot.settings import Settings
from bot.system.configuration import secret_files
from tests.harness.installation import SLOT

VALUES = {
    "mode": "live",
    "data_version": "v5.4",
    "feature_set": "small",
    "target": "target_ender_20",
    "slots": {SLOT: "demo"},
    "recipe": "demo",
    "retrain": "90s",
    "sync": "off",
    "backup": "weekly",
    "scores": "6h",
    "diagnostics": "off",
    "compare": "v53_example another_model",
    "tick_s": 5.0,
    "device": "cpu",
    "tracker": "tensorboard",
    "threads": 2,
    "max_exposure": 0.9,
    "min_rows": 51,
    "min_benchmark_corr": 0.1,
    "min_drift": -0.5,
    "warn_feature_drift": 0.03,
    "max_feature_drift": 0.9,
    "late_policy": "queue",
    "fallback": "standard",
    "starter": False,
    "reuse_last_round": True,
    "on_confirmed": "/bin/true confirmed",
    "on_missed": "/bin/true missed",
    "on_promoted": "/bin/true promoted",
    "http_host": "127.0.0.2",
    "http_port": 8012,
    "http_hosts": "bot.example.org [::1]",
    "trusted_keys": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "signing_key": "keys/signing.key",
    "unpack": "2h",
    "log_format": "json",
    "log_level": "debug",
}
"""Another value than the default for each setting, except those of ``PLACES`` and ``SECRETS`` and the accounts."""

PLACES = ("api_url", "state_dir")
SECRETS = {
    "NUMERAI_PUBLIC_ID": DEMO_ACCOUNT.public_id,
    "NUMERAI_SECRET_KEY": DEMO_ACCOUNT.secret_key,
    "BOT_ALERT_URLS": "json://127.0.0.1:9/CANARYALERT",
    "BOT_PING_URL": "http://127.0.0.1:9/CANARYPING",
    "BOT_WEBHOOK_TOKEN": "CANARYTOKEN-OF-MINE",
    "BOT_CONTROL_TOKEN": "CANARYORDER-OF-MINE",
    "BOT_ARTIFACTS_URL": "sftp://trainer:CANARYSTORAGE@127.0.0.1:9/packs",
}


class Operator:
    """An operator who sets the bot up in one of the documented forms, and runs commands in this process."""

    def __init__(self, installation, patch):
        self.installation, self.patch, self.root, self.sandbox = (
            installation,
            patch,
            installation.root,
            installation.sandbox,
        )
        for name in ("NUMERAI_PUBLIC_ID", "NUMERAI_SECRET_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv("BOT_API_URL", self.sandbox.url)
        patch.setenv("BOT_STATE_DIR", str(installation.state))
        patch.chdir(self.root)
        patch.setattr(_numerai, "SKEW_S", 1e12)  # the sandbox's clock stands still at a day of its own
        patch.setattr(doctor, "PATIENCE_S", 20.0)
        self.sandbox.tournament.added.add("v5.4")

    def file(self, name: str, content: str) -> str:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{content}\n")
        path.chmod(0o600)
        return str(path)

    def environment(self) -> None:
        """Every setting and secret in a variable."""
        slots = ",".join(f"{name}={recipe}" for name, recipe in VALUES["slots"].items())
        for name, value in (VALUES | {"slots": slots}).items():
            self.patch.setenv(f"BOT_{name.upper()}", str(value))
        for name, value in SECRETS.items():
            self.patch.setenv(name, value)

    def toml(self) -> None:
        """Every setting in ``bot.toml``, every secret in a file of its own."""
        plain = {name: value for name, value in VALUES.items() if not isinstance(value, dict)}
        lines = [f"{name} = {json.dumps(value)}" for name, value in plain.items()]
        slots = [f"{json.dumps(name)} = {json.dumps(recipe)}" for name, recipe in VALUES["slots"].items()]
        (self.root / "bot.toml").write_text("\n".join([*lines, "[slots]", *slots]))
        for name, value in SECRETS.items():
            self.patch.setenv(f"{name}_FILE", self.file(f"{name}.txt", value))

    def mounted(self) -> None:
        """Secrets where a container mounts them; the account's only model, by its recipe."""
        for name, value in SECRETS.items():
            self.file(f"secrets/{name}", value)
        self.patch.setattr(secret_files, "SECRET_FOLDER", self.root / "secrets")
        self.patch.setenv("BOT_RECIPE", "demo")
        self.patch.setenv("BOT_MODE", "live")

    def tables(self) -> None:
        """Two accounts in tables of ``bot.toml``."""
        other = replace(
            DEMO_ACCOUNT,
            username="other",
            public_id="OTHER",
            models={"other_model": "5a9db0c5-0000-4000-8000-000000000002"},
        )
        self.sandbox.tournament.accounts = (DEMO_ACCOUNT, other)
        (self.root / "bot.toml").write_text(
            'mode = "live"\n'
            + "".join(
                f"[accounts.{name}]\npublic_id_file = {json.dumps(self.file(f'{name}_id', account.public_id))}\n"
                f"secret_key_file = {json.dumps(self.file(f'{name}_key', account.secret_key))}\n"
                f'slots = {{ {next(iter(account.models))} = "demo" }}\n'
                for name, account in (("first", DEMO_ACCOUNT), ("second", other))
            )
        )

    def accounts_variable(self) -> None:
        """One account as JSON in a variable."""
        table = {
            "public_id_file": self.file("id", DEMO_ACCOUNT.public_id),
            "secret_key_file": self.file("key", DEMO_ACCOUNT.secret_key),
            "slots": VALUES["slots"],
        }
        self.patch.setenv("BOT_ACCOUNTS", json.dumps({"first": table}))
        self.patch.setenv("BOT_MODE", "live")


FORMS = {
    "environment": (Operator.environment, ()),
    "toml": (Operator.toml, ()),
    "mounted": (Operator.mounted, ()),
    "tables": (Operator.tables, ("--account", "first")),
    "accounts variable": (Operator.accounts_variable, ("--account", "first")),
}


def test_every_setting_is_covered():
    """A new setting must be given a value here, too."""
    secrets = {name.lower().removeprefix("bot_") for name in SECRETS}

    assert set(VALUES) | set(PLACES) | secrets | {"accounts"} == set(Settings.model_fields)
    assert [name for name, value in VALUES.items() if value == Settings.model_fields[name].default] == []


@pytest.mark.parametrize("form", FORMS)
def test_settings_go_through_doctor_status_and_submit(form, installation, monkeypatch, validated_here):
    """Whatever the form, the doctor finds no failure, the round is confirmed, and no secret is printed."""
    prepare, options = FORMS[form]
    prepare(Operator(installation, monkeypatch))
    runner = CliRunner()

    examined = runner.invoke(app, ["doctor", "--json"])
    submitted = runner.invoke(app, ["submit", *options])
    shown = runner.invoke(app, ["status", "--json"])
    checks = json.loads(examined.stdout)["checks"]

    assert [check for check in checks if check["verdict"] == "failure"] == []
    assert [result.exit_code for result in (examined, submitted, shown)] == [0, 0, 0], submitted.output
    assert [entry["state"] for entry in json.loads(shown.stdout)["rounds"]] == ["confirmed"]
    assert len([one for one in installation.sandbox.tournament.submissions if one.accepted]) == 1
    assert not any(secret in result.output for secret in SECRETS.values() for result in (examined, submitted, shown))
