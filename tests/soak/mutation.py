"""
R26: mutations of ledger, guard and reconcile, and whether the tests notice.

A fork of a process that has everything loaded runs the tests that pass through the changed line; the first failure kills
the mutant. ``python -m tests.soak.mutation`` prints what survived and the score; ``... bot/tournament/rounds.py`` takes one module.
"""

import ast
import difflib
import importlib.abc
import importlib.util
import io
import itertools
import os
import resource
import select
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import coverage
import grimp
import pytest

from tests.soak.mutants import ROOT, Mutant, mutants

MODULES = (
    "bot/tournament/rounds.py",
    "bot/record/database.py",
    "bot/record/ledger.py",
    "bot/submission/_delivery.py",
    "bot/submission/live_fetch.py",
)
TESTS = (
    "tests/tournament/test_rounds.py", "tests/record/test_database.py", "tests/record/test_ledger.py", "tests/record/test_ledger_memory.py",
    "tests/integration/test_delivery.py", "tests/integration/test_live_fetch.py",
)  # fmt: skip
SCORE = 0.9
JOBS = len(os.sched_getaffinity(0))
CPU_S, WALL_S = 60, 600
"""Seconds after which a mutant that makes the tests spin, or wait for ever, counts as noticed; it is printed."""


class _Contexts:
    """Tells coverage which test is running, its fixtures included."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured = measured

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._measured.switch_context(item.nodeid)
        return (yield)


def _pytest(base: Path, tests: list[str], *plugins: object) -> int:
    # As a worker would, so that all runs share one world.
    os.environ["PYTEST_XDIST_WORKER"] = "mutant"
    options = [
        "-q",
        "-x",
        "-p",
        "no:xdist",
        "-p",
        "no:logging",
        f"--basetemp={base / str(os.getpid())}",
        "-o",
        "timeout=0",
    ]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return int(pytest.main([*options, "--tb=no", *tests], plugins=list(plugins)))


def passing(base: Path) -> dict[str, dict[int, list[str]]]:
    """Return, for each module, which tests pass through which line; it also loads everything that tests need."""
    measured = coverage.Coverage(
        data_file=None, branch=True, include=[str(ROOT / name) for name in MODULES], config_file=False
    )
    measured.start()
    status = _pytest(base, list(TESTS), _Contexts(measured))
    measured.stop()
    if status != 0:
        raise RuntimeError(f"the tests fail without any mutation (pytest ends with {status})")
    data = measured.get_data()
    return {name: data.contexts_by_lineno(str(ROOT / name)) for name in MODULES}


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a mutant's text."""

    def __init__(self, mutant: Mutant) -> None:
        self._name, self._mutant = mutant.module.removesuffix(".py").replace("/", "."), mutant

    def find_spec(self, name, *_):
        return importlib.util.spec_from_loader(name, self) if name == self._name else None

    def exec_module(self, module) -> None:
        exec(compile(self._mutant.text, str(ROOT / self._mutant.module), "exec"), module.__dict__)  # noqa: S102


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A mutant under test in a fork: its process, the pipe it tells its outcome through, and until when it may."""

    mutant: Mutant
    child: int
    told: int
    until: float

    @classmethod
    def begin(cls, mutant: Mutant, tests: list[str], dependents: list[str], base: Path) -> "Trial":
        """Fork this process; the child runs *tests* on the mutant."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
            status = 1
            try:
                for name in [one for one in sys.modules if one in dependents or one.startswith("tests")]:
                    del sys.modules[name]
                sys.meta_path.insert(0, _Changed(mutant))
                status = _pytest(base, tests)
            finally:
                os.write(writing, bytes([min(status, 9)]))
                os._exit(0)
        os.close(writing)
        return cls(mutant=mutant, child=child, told=reading, until=time.monotonic() + WALL_S)

    def end(self) -> str:
        """Return the outcome, once it was told or there is no more time for it."""
        ready, _, _ = select.select([self.told], [], [], 0)
        told = os.read(self.told, 1) if ready else b""
        os.close(self.told)
        os.killpg(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)
        return {b"\0": "survived", b"": "hung"}.get(told, "killed")


def outcomes(begun: Iterator[Trial]) -> Iterator[tuple[Mutant, str]]:
    """Keep every core busy with a trial; yield what came of each."""
    running: list[Trial] = []
    for trial in itertools.chain(begun, [None] * JOBS):
        running += [] if trial is None else [trial]
        while running and (trial is None or len(running) == JOBS):
            select.select(
                [one.told for one in running], [], [], max(min(one.until for one in running) - time.monotonic(), 0)
            )
            ready, _, _ = select.select([one.told for one in running], [], [], 0)
            for one in [one for one in running if one.told in ready or one.until < time.monotonic()]:
                running.remove(one)
                yield one.mutant, one.end()


def main(modules: list[str]) -> int:
    """Try all mutants; return the exit status."""
    counts = dict.fromkeys(("killed", "hung", "survived"), 0)
    with tempfile.TemporaryDirectory(prefix="bot-mutation-") as name:
        base, graph = Path(name), grimp.build_graph("bot")
        sys.path.insert(0, str(ROOT))
        lines = passing(base)
        for module in modules or MODULES:
            dotted, began = module.removesuffix(".py").replace("/", "."), time.monotonic()
            plain = Mutant(
                module=module, line=0, what="nothing", text=ast.unparse(ast.parse((ROOT / module).read_text()))
            )
            dependents = [dotted, *graph.find_downstream_modules(dotted)]

            def begin(mutant: Mutant, known: dict = lines[module], dependents: list[str] = dependents) -> Trial:
                through = sorted({one for one in known.get(mutant.line, []) if one}, key=_cost)
                return Trial.begin(mutant, through or list(TESTS), dependents, base)

            if [what for _, what in outcomes(map(begin, [plain]))] != ["survived"]:
                raise RuntimeError(f"the tests fail on {module} without any mutation")
            found = dict.fromkeys(counts, 0)
            for mutant, what in outcomes(map(begin, mutants(module))):
                found[what] += 1
                if what != "killed":
                    texts = plain.text.splitlines(), mutant.text.splitlines()
                    difference = "\n".join(list(difflib.unified_diff(*texts, lineterm="", n=0))[3:])
                    print(f"{what}: {module}:{mutant.line} {mutant.what}\n{difference}", flush=True)
            print(f"{module}: {found}; {time.monotonic() - began:.0f} s", flush=True)
            counts = {what: counts[what] + found[what] for what in counts}
    tried = sum(counts.values())
    score = 1 - counts["survived"] / tried
    print(f"R26 mutation: {tried} mutants, {counts}, score {score:.1%}; at least {SCORE:.0%} wanted")
    return 0 if score >= SCORE else 1


def _cost(test: str) -> tuple[int, str]:
    """Put tests that need no tournament first."""
    return ("integration" in test, test)


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
