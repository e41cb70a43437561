"""
Every kind of fault from outside in one table: samples that were tried, and promises that were broken.

``python -m tests.soak.kinds`` runs the tests of each kind. `make soak` runs it after the long forms, whose counts it adds:
they are in the file that :mod:`tests.soak.counts` writes.
"""

import io
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.soak.counts import Counts, recorded

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """
    A kind of fault.

    Attributes:
        tests: Test modules of its samples.
        soak: Name of its long form; ``None`` where the tests are all.
    """

    tests: tuple[str, ...]
    soak: str | None = None


KINDS: Mapping[str, Kind] = {
    "a wrong file": Kind(
        tests=(
            "data/test_live_file.py", "data/test_live_column_sums.py", "data/test_ingest.py", "data/test_reference_predictions.py",
            "submission/test_read_submission.py", "hosted/test_model_frame.py",
        ),
        soak="files",
    ),
    "a start that fails": Kind(tests=("daemon/test_failing_looks.py", "system/test_child_process.py")),
    "an unexpected answer": Kind(tests=("tournament/test_answers.py", "integration/test_slots.py"), soak="answers"),
    "an endless wait": Kind(tests=("tournament/test_transport.py", "integration/test_download.py"), soak="storm"),
    "the environment": Kind(
        tests=(
            "test_settings.py", "system/test_child_environment.py", "integration/test_isolation.py",
            "models/inference/test_external_data.py",
        ),
        soak="environment",
    ),
    "a model that dies": Kind(tests=("integration/test_ladder.py", "submission/test_turns.py"), soak="ladder"),
    "a program that fails": Kind(
        tests=("integration/test_adopt.py", "members/test_command_run.py", "members/test_program_files.py"), soak="programs",
    ),
    "unwritable output": Kind(tests=("system/test_output.py", "integration/test_output.py"), soak="output"),
    "a clock that moves": Kind(tests=("daemon/test_jobs.py", "record/test_heartbeat.py", "record/test_backup.py"), soak="clocks"),
    "a dead alert service": Kind(tests=("daemon/test_notifier.py", "record/test_outbox.py")),
    "a secret": Kind(tests=("system/test_redaction.py",)),
    "names and pointers": Kind(tests=("system/test_file_names.py", "serving/test_artifacts.py", "integration/test_delivery.py")),
    "the port": Kind(tests=("web/test_server.py",), soak="flood"),
    "files of the operator": Kind(
        tests=("training/test_recipe_file.py", "features/test_feature_sets.py", "research/test_trial_worker.py", "integration/test_odd_history.py"),
    ),
}  # fmt: skip


class Counting:
    """A plugin of pytest that counts the tests of each module, and those that failed."""

    def __init__(self) -> None:
        self.tried, self.failed = Counter[str](), Counter[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test when it has run, or where its set-up or clean-up failed."""
        module = report.location[0].removeprefix("tests/")
        self.tried[module] += report.when == "call" and not report.skipped
        self.failed[module] += report.failed


def rows(tests: Counting, soaks: Sequence[Counts]) -> Iterator[tuple[str, int, int]]:
    """Yield the name of each kind with its samples and breaches."""
    for name, kind in KINDS.items():
        long = [one for one in soaks if one.soak == kind.soak]
        samples = sum(tests.tried[module] for module in kind.tests) + sum(one.samples for one in long)
        breaches = sum(tests.failed[module] for module in kind.tests) + sum(one.breaches for one in long)
        yield name, samples, breaches


def main() -> int:
    """Run the tests of every kind and print the table; return 1 if a promise was broken or a kind has no samples."""
    counting, output = Counting(), io.StringIO()
    modules = [f"tests/{module}" for kind in KINDS.values() for module in kind.tests]
    os.chdir(ROOT)
    with redirect_stdout(output):
        status = pytest.main(["-q", "-n", "0", "--no-header", "-p", "no:cacheprovider", *modules], plugins=[counting])
    table = list(rows(counting, recorded()))
    sys.stdout.write(f"{'kind':24}{'samples':>10}{'breaches':>10}\n")
    sys.stdout.writelines(f"{name:24}{samples:>10,}{breaches:>10}\n" for name, samples, breaches in table)
    sound = status == pytest.ExitCode.OK and all(samples and not breaches for _, samples, breaches in table)
    if not sound:
        sys.stdout.write(output.getvalue())
    return int(not sound)


if __name__ == "__main__":
    sys.exit(main())
