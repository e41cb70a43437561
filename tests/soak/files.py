"""Files of thousands of shapes for every reader: ``python -m tests.soak.files``."""

import logging
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.data.store_files import build, write_files
from tests.harness.readers import Tried, check_history, check_live, check_live_benchmark, check_reference
from tests.soak.counts import record

EXAMPLES = {"history": 500}
"""Files of some readers; of the others, :data:`MOST`."""

MOST = 2000


def try_files(name: str, check: Callable[[st.DataObject, Path], str], root: Path) -> list[str]:
    """Check files of many shapes, print how many were read and refused, and return the breaches."""
    tried = Tried()

    @settings(
        deadline=None,
        database=None,
        max_examples=EXAMPLES.get(name, MOST),
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def every(data: st.DataObject) -> None:
        with tempfile.TemporaryDirectory(dir=root) as folder:
            tried.counts[check(data, Path(folder))] += 1

    breaches: list[str] = []
    try:
        every()
    except Exception as error:  # noqa: BLE001 - whatever a reader raises besides its refusals is a breach
        breaches.append(f"{name}: {type(error).__name__}: {error}"[:500])
    print(f"files of {name}: {tried}, {len(breaches)} breaches", flush=True)
    record("files", samples=tried.counts.total(), breaches=len(breaches))
    return breaches


def main() -> int:
    """Try the files of every reader; return the exit status."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory(prefix="bot-soak-") as name:
        root = Path(name)
        (root / "plain").mkdir()
        store = build(root / "plain", write_files(root / "plain"))
        checks = {
            "live": check_live,
            "history": check_history,
            "reference": partial(check_reference, store=store),
            "live benchmark": check_live_benchmark,
        }
        breaches = [one for reader, check in checks.items() for one in try_files(reader, check, root)]
    print(*breaches, sep="\n")
    return int(bool(breaches))


if __name__ == "__main__":
    sys.exit(main())
