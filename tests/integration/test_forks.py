"""Forked commands of the tests are as those of a new interpreter: status, output, folder, variables and signals."""

import json
import os
import signal
import subprocess

import pytest

from tests.harness.forks import ROOT, Forks, forks


def test_a_forked_command_prints_and_ends_as_a_new_one(installation):
    """Output, errors and exit codes are equal, of a command that works and of one that is refused."""
    calls = (("status", "--json"), ("--version",), ("promote", "0"), ("nonsense",))
    forked, new = ([run(*words) for words in calls] for run in (installation.bot, installation.new_bot))

    def told(done):
        return done.args, done.returncode, done.stdout, done.stderr

    assert [one.returncode for one in forked] == [0, 0, 78, 2]
    assert list(map(told, forked)) == list(map(told, new))


def test_a_command_leaves_nothing_to_the_next(installation, tmp_path_factory):
    """Its settings and its folder are its own."""
    other = type(installation)(sandbox=installation.sandbox, root=tmp_path_factory.mktemp("other"))
    first = installation.bot("health", "--json", BOT_MODE="nonsense")
    (installation.root / "bot.toml").write_text('mode = "nonsense"\n')
    second = other.bot("health", "--json")

    assert first.returncode == 78
    assert "BOT_MODE" in json.loads(first.stdout)["error"]["message"]
    assert "nonsense" not in second.stdout + second.stderr


def test_variables_that_libraries_read_are_not_served(installation):
    """A command whose libraries would load differently gets a new interpreter."""
    environment = installation.whole_environment

    assert forks().serves(environment | {"BOT_MODE": "paper", "TORCHINDUCTOR_CACHE_DIR": "set by torch"})
    assert not forks().serves(environment | {"OMP_NUM_THREADS": "7"})
    assert not forks().serves(environment | {"PYTHONPATH": "."})
    assert not forks().serves(environment | {"TZ": "Asia/Tokyo"})
    assert installation.bot("--version", TZ="Asia/Tokyo").returncode == 0


def test_a_command_over_its_limit_is_killed(installation):
    """It is killed as by subprocess.run, and the next one runs."""
    with pytest.raises(subprocess.TimeoutExpired):
        forks().run(["run"], installation.whole_environment, installation.root, 0.5)

    assert installation.bot("--version").returncode == 0


def test_a_process_that_was_killed_is_named(tmp_path):
    """Without the process that forks it, a command is never taken for one that has run."""
    alone = Forks(os.environ, ("json",))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = alone.run(["--version"], environment, tmp_path, 60)
    os.kill(alone.process, signal.SIGKILL)
    alone.close()

    assert done.stdout.startswith("numerai-bot ")
    with pytest.raises(OSError, match="Bad file descriptor"):
        alone.run(["--version"], environment, tmp_path, 60)
