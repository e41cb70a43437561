"""A real Prometheus with the shipped rules, beside a bot, and the expressions of the shipped dashboard."""

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.harness.process import until

MONITORING = Path(__file__).resolve().parents[2] / "monitoring"
PROMETHEUS = shutil.which("prometheus")
LIMIT_S = 300.0
"""Seconds to wait for Prometheus or an alert; many times what it takes, so that only a hang reaches it."""

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, kw_only=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the labels and the newest value of every series of an expression."""
        result = self._get("query", query=expression)["result"]
        return [{"labels": one["metric"], "value": float(one["value"][1])} for one in result]

    def empty_panels(self) -> list[str]:
        """Return the titles of the dashboard's panels with an expression that has no value."""
        return [title for title, asked in panels().items() if not all(self.query(one) for one in asked)]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        return {one["labels"]["alertname"] for one in self._get("alerts")["alerts"] if one["state"] == "firing"}

    def rules(self) -> dict[str, str]:
        """Return for each rule whether Prometheus evaluates it: ``ok``, or its error."""
        rules = [rule for group in self._get("rules")["groups"] for rule in group["rules"]]
        return {one["name"]: one.get("lastError") or one["health"] for one in rules}

    def scraped(self) -> bool:
        """Return whether the last scrape of the bot succeeded."""
        return any(one["health"] == "up" for one in self._get("targets")["activeTargets"])

    def _get(self, what: str, **parameters: str) -> dict[str, Any]:
        answer = requests.get(f"{self.url}/api/v1/{what}", params=parameters, timeout=30)
        answer.raise_for_status()
        return dict(answer.json()["data"])


@contextmanager
def prometheus(folder: Path, port: int, *, hasten: float) -> Iterator[Prometheus]:
    """
    Run Prometheus with the shipped configuration and rules until it has scraped the bot; kill it at the end.

    Args:
        folder: Folder for its configuration and data.
        port: Port of the bot's metrics.
        hasten: Factor by which an alert waits less than its rule says.
    """
    if PROMETHEUS is None:
        raise RuntimeError("prometheus is not installed; on Debian: apt-get install prometheus")
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = free.getsockname()[1]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(_configuration(folder, port)))
    (folder / "alerts.yml").write_text(yaml.safe_dump(_rules(hasten)))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{own}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        found = Prometheus(url=f"http://127.0.0.1:{own}")
        until(lambda: _ready(found), LIMIT_S, "Prometheus has not scraped the bot")
        yield found
    finally:
        process.kill()
        process.wait()


def panels() -> dict[str, list[str]]:
    """Return the expressions of every panel of the shipped dashboard by its title."""
    dashboard = json.loads((MONITORING / "grafana" / "dashboards" / "numerai-bot.json").read_text())
    return {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in dashboard["panels"]}


def _ready(running: Prometheus) -> bool:
    with suppress(requests.RequestException):
        return running.scraped()
    return False


def _configuration(folder: Path, port: int) -> dict[str, Any]:
    """Return the shipped configuration with the bot on the loopback, looked at every second."""
    about: dict[str, Any] = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    about["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    about["rule_files"] = [str(folder / "alerts.yml")]
    about["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    return about


def _rules(hasten: float) -> dict[str, Any]:
    """Return the shipped rules; each waits a shorter time before it fires."""
    about: dict[str, Any] = yaml.safe_load((MONITORING / "alerts.yml").read_text())
    for group in about["groups"]:
        for rule in group["rules"]:
            if match := re.fullmatch(r"(\d+)([smh])", rule.get("for", "")):
                rule["for"] = f"{round(1000 * int(match[1]) * SECONDS[match[2]] / hasten)}ms"
    return about
