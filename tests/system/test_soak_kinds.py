"""The table of the kinds of faults, which the soak prints."""

import re
from collections import Counter

from tests.soak.counts import VARIABLE, Counts, record, recorded
from tests.soak.kinds import KINDS, ROOT, Counting, rows


def test_every_kind_has_its_tests_and_its_long_form():
    """Each test module of the table exists, and `make soak` runs each long form."""
    modules = [module for kind in KINDS.values() for module in kind.tests]
    run = re.search(r"^SOAKS := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1].split()

    assert [module for module in modules if not (ROOT / "tests" / module).is_file()] == []
    assert {kind.soak for kind in KINDS.values() if kind.soak} <= set(run)


def test_a_failed_test_and_a_breach_of_a_long_form_are_counted(tmp_path, monkeypatch):
    """The row of a kind adds its tests and its long form."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "counts"))
    record("answers", samples=300, breaches=2)
    counting = Counting()
    counting.tried, counting.failed = (
        Counter({"tournament/test_answers.py": 7}),
        Counter({"tournament/test_answers.py": 1}),
    )
    table = {name: (samples, breaches) for name, samples, breaches in rows(counting, recorded())}

    assert recorded() == (Counts(soak="answers", samples=300, breaches=2),)
    assert table["an unexpected answer"] == (307, 3)
    assert table["the port"] == (0, 0)
