"""Counts of the long forms, in the file that ``SOAK_COUNTS`` names; `make soak` prints them as one table in the end."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "SOAK_COUNTS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Name of a long form, samples that it tried, and promises that were broken."""

    soak: str
    samples: int
    breaches: int


def record(soak: str, *, samples: int, breaches: int) -> None:
    """Append the counts of a long form; do nothing where no table will be printed."""
    if path := os.environ.get(VARIABLE):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(Counts(soak=soak, samples=samples, breaches=breaches))) + "\n")


def recorded() -> tuple[Counts, ...]:
    """Return all counts that were appended."""
    path = os.environ.get(VARIABLE)
    if not path or not Path(path).is_file():
        return ()
    return tuple(Counts(**json.loads(line)) for line in Path(path).read_text(encoding="utf-8").splitlines())
