"""
The page "Live scores": totals, rolling means, benchmarks, correlation among one's own slots, expected and seen CORR.

A slot is a model that the ledger has submissions of. Other models with scores are those of ``BOT_COMPARE``, the benchmarks.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from bot.live.expectation import EXTRA_ROUNDS, expect
from bot.live.live_scores import LiveRound
from bot.record.ledger import Entry
from bot.reporting.charts import Line, line_chart
from bot.scoring.bootstrap import TooFewEras, newey_west_error
from bot.system.file_names import file_name
from bot.tournament.columns import horizon
from bot.web.content.artifact_files import ArtifactFiles
from bot.web.content.marks import interval
from models.inference.ranks import rank_correlation

WINDOWS = (20, 60)
"""Rounds of the rolling means."""

CHARTED, CHARTED_POINTS = 250, 900
"""Newest rounds in a chart, about a year of them, and most points of a chart: a page of more would be too heavy."""

COMMON = 10
"""Fewest common rounds of two slots whose scores are correlated."""

PAIRED = 6
"""First slots that are compared, in every pair."""

LARGEST = 4_000_000
"""Bytes of the largest file of predictions that a page reads."""

EVERY = "all slots"
PAY, CORR, MMC = "pay", "corr60", "mmc60"
FIGURES = {PAY: "pay per NMR staked", CORR: "CORR", MMC: "MMC"}
"""What is summed, averaged and drawn, with its title; Numerai pays corr60 and mmc60 since round 1343."""

NORMAL_95 = 1.96

Floats = npt.NDArray[np.float64]
Rows = list[dict[str, Any]]


class LiveRecord:
    """
    Live scores with what the ledger knows of their rounds.

    Args:
        rounds: Scored rounds of all models, oldest first.
        artifacts: Artifact by round and slot, from the ledger's submissions.

    Attributes:
        slots: Names of one's own slots; those of all models where the ledger knows none of them.
        benchmarks: Names of the other models.
    """

    def __init__(self, rounds: Sequence[LiveRound], artifacts: Mapping[tuple[int, str], str]) -> None:
        self.rounds, self.artifacts = rounds, artifacts
        named = {one.slot for one in rounds}
        own = named & {slot for _, slot in artifacts} or named
        self.slots, self.benchmarks = sorted(own), sorted(named - own)
        self._series: dict[tuple[str, str], dict[int, float]] = {}
        self._by_model: dict[str, list[LiveRound]] = defaultdict(list)
        for one in rounds:
            self._by_model[one.slot].append(one)
            if one.slot in own:
                self._by_model[EVERY].append(one)

    @classmethod
    def of(cls, rounds: Sequence[LiveRound], entries: Sequence[Entry]) -> "LiveRecord":
        """Return the record of *rounds* and the ledger's *entries*."""
        return cls(rounds, {(one.round, one.slot): one.artifact for one in entries})

    def series(self, name: str, figure: str) -> dict[int, float]:
        """
        Return a figure by round, oldest first: a score, or ``pay``.

        Args:
            name: Model, or :data:`EVERY` for the mean of one's own slots, each with the same stake.
            figure: Name of the score, or ``pay``.
        """
        if (name, figure) not in self._series:
            found: dict[int, list[float]] = defaultdict(list)
            for one in self.of_model(name):
                value = one.pay if figure == PAY else one.scores.get(figure)
                if value is not None:
                    found[one.round].append(value)
            self._series[name, figure] = {number: _mean(values) for number, values in found.items()}
        return self._series[name, figure]

    def of_model(self, name: str) -> Sequence[LiveRound]:
        """Return the rounds of a model, or of one's own slots for :data:`EVERY`, oldest first."""
        return self._by_model.get(name, ())

    @property
    def groups(self) -> list[str]:
        """Return the models of the tables: each slot, all of them where there are several, and the benchmarks."""
        return [*self.slots, *([EVERY] if len(self.slots) > 1 else []), *self.benchmarks]


def totals(record: LiveRecord) -> Rows:
    """Return the pay of each model over its rounds: number, sum, mean, Sharpe, best and worst; models with a pay only."""
    found = []
    for name in record.groups:
        pays = list(record.series(name, PAY).values())
        if pays:
            mean, spread = _mean(pays), float(np.std(pays, ddof=1)) if len(pays) > 1 else 0.0
            row = {"rounds": len(pays), "sum": sum(pays), "mean": mean, "sharpe": mean / spread if spread else None}
            found.append(
                {"slot": name, **row, "best": max(pays), "worst": min(pays), "other": name in record.benchmarks}
            )
    return found


def windows(record: LiveRecord) -> Rows:
    """
    Return the mean of each figure over the newest rounds, and the mean percentile of CORR and MMC, by model.

    While there are fewer rounds than the first window has, its means are over all of them; longer windows stay empty.
    """
    found = []
    for name in record.groups:
        row: dict[str, Any] = {"slot": name, "other": name in record.benchmarks}
        for figure in FIGURES:
            values = list(record.series(name, figure).values())
            row["rounds"] = max(row.get("rounds", 0), len(values))
            for count in WINDOWS:
                known = bool(values) and (len(values) >= count or count == WINDOWS[0])
                row[f"{figure}-{count}"] = _mean(values[-count:]) if known else None
        for figure in (CORR, MMC):
            own = record.of_model(name) if name != EVERY else ()
            places = [one.percentiles[figure] for one in own if figure in one.percentiles]
            row[f"percentile-{figure}"] = _mean(places[-WINDOWS[0] :]) if places else None
        found.append(row)
    return found


def against_benchmarks(record: LiveRecord) -> Rows:
    """Return the mean difference of each slot and each benchmark over their common rounds, with its error where it is known."""
    found = []
    for slot in record.slots:
        for other in record.benchmarks:
            row: dict[str, Any] = {"slot": slot, "benchmark": other}
            for figure in FIGURES:
                ours, theirs = record.series(slot, figure), record.series(other, figure)
                gaps = np.array([ours[number] - theirs[number] for number in sorted(ours.keys() & theirs.keys())])
                row[figure] = {"mean": float(gaps.mean()), "error": _error(gaps)} if len(gaps) else None
                row["rounds"] = max(row.get("rounds", 0), len(gaps))
            if row["rounds"]:
                found.append(row)
    return found


def newest_rounds(record: LiveRecord, *, limit: int) -> Rows:
    """Return the newest rounds of one's own slots, newest first, each with its CORR less that of the first benchmark."""
    other = record.series(record.benchmarks[0], CORR) if record.benchmarks else {}
    own = list(reversed(record.of_model(EVERY)[-limit:]))
    gaps = [one.scores[CORR] - other[one.round] if CORR in one.scores and one.round in other else None for one in own]
    return [{"one": one, "gap": gap} for one, gap in zip(own, gaps, strict=True)]


def _error(values: Floats, days: int = 60) -> float | None:
    """Return the half width of the 95 % interval of a mean of consecutive rounds; ``None`` for too few of them."""
    try:
        return NORMAL_95 * newey_west_error(values, lag=days + EXTRA_ROUNDS)
    except TooFewEras:
        return None


def alike(record: LiveRecord, rounds_folder: Path) -> Rows:
    """
    Return how alike each pair of one's own slots is: correlation of their scores by round, and of their newest predictions.

    Args:
        record: The record.
        rounds_folder: Folder of the ledger's rounds, with the predictions of those that are kept.
    """
    sent = _newest_predictions(record, rounds_folder)
    found = []
    for first, second in combinations(record.slots[:PAIRED], 2):
        row: dict[str, Any] = {"first": first, "second": second, **_predicted_alike(sent, first, second)}
        for figure in (CORR, MMC):
            row[figure], common = _correlation(record.series(first, figure), record.series(second, figure))
            row["rounds"] = max(row.get("rounds", 0), common)
        found.append(row)
    return found


def _correlation(first: Mapping[int, float], second: Mapping[int, float]) -> tuple[float | None, int]:
    common = sorted(first.keys() & second.keys())
    a, b = (np.array([series[number] for number in common]) for series in (first, second))
    if len(common) < COMMON or not a.std() or not b.std():
        return None, len(common)
    return float(np.corrcoef(a, b)[0, 1]), len(common)


def _newest_predictions(record: LiveRecord, folder: Path) -> dict[int, dict[str, dict[str, float]]]:
    """Return the predictions by round, slot and id: of the newest kept round in which two slots or more sent some."""
    for number in sorted({number for number, _ in record.artifacts}, reverse=True)[:5]:
        slots = [slot for slot in record.slots[:PAIRED] if (number, slot) in record.artifacts]
        read = {slot: _predictions(folder / str(number) / file_name(slot) / "predictions.csv") for slot in slots}
        kept = {slot: rows for slot, rows in read.items() if rows}
        if len(kept) > 1:
            return {number: kept}
    return {}


def _predictions(path: Path) -> dict[str, float]:
    """Return the predictions of a submission's file by id; none where it is absent, damaged or too large."""
    try:
        if path.stat().st_size > LARGEST:
            return {}
        lines = path.read_text(encoding="utf-8").splitlines()[1:]
        pairs = (line.split(",") for line in lines)
        return {identity: float(value) for identity, value in pairs}
    except (OSError, ValueError):
        return {}


def _predicted_alike(sent: Mapping[int, Mapping[str, Mapping[str, float]]], first: str, second: str) -> dict[str, Any]:
    for number, by_slot in sent.items():
        if first in by_slot and second in by_slot:
            common = sorted(by_slot[first].keys() & by_slot[second].keys())
            a, b = (np.array([by_slot[slot][one] for one in common]) for slot in (first, second))
            if len(common) > 2:
                return {"predictions": rank_correlation(a, b), "round": number}
    return {"predictions": None, "round": None}


def expected_and_seen(record: LiveRecord, artifacts: Path) -> Rows:
    """
    Return the live CORR of each artifact beside the CORR that its hold-out lets expect of so many rounds, newest first.

    Args:
        record: The record.
        artifacts: Folder of the artifacts; one that was pruned or has no hold-out is left out.
    """
    filled: dict[str, dict[int, list[LiveRound]]] = defaultdict(lambda: defaultdict(list))
    for one in record.rounds:
        if identity := record.artifacts.get((one.round, one.slot)):
            filled[identity][one.round].append(one)
    found = [row for identity, rounds in filled.items() if (row := _seen_of(identity, rounds, artifacts)) is not None]
    edges = [value for row in found for value in (row["low"], row["high"], row["live"], 0.0)]
    for row in found:
        about = f"expected {row['mean']:+.4f}, 95 % between {row['low']:+.4f} and {row['high']:+.4f}; seen {row['live']:+.4f}"
        row["drawn"] = interval(
            mean=row["mean"],
            low=row["low"],
            high=row["high"],
            seen=row["live"],
            scale=(min(edges), max(edges)),
            about=about,
        )
    return sorted(found, key=lambda row: str(row["id"]), reverse=True)


def _seen_of(identity: str, rounds: Mapping[int, Sequence[LiveRound]], artifacts: Path) -> dict[str, Any] | None:
    about = ArtifactFiles.read(artifacts / identity)
    if about is None:
        return None
    try:
        days = horizon(about.target)
    except ValueError:
        return None
    name = f"corr{days}"
    # Slots that share an artifact send the same predictions: they are one observation.
    scored = [(number, [one for one in same if name in one.scores]) for number, same in sorted(rounds.items())]
    kept = [(number, same) for number, same in scored if same]
    values = np.array([_mean([one.scores[name] for one in same]) for _, same in kept])
    expected = expect(about.series("corr"), target=about.target, rounds=len(values)) if len(values) else None
    if expected is None:
        return None
    live = float(values.mean())
    place = "below" if live < expected.low else "above" if live > expected.high else "within"
    return {
        "id": identity, "recipe": about.recipe, "day": about.day, "score": name, "rounds": len(values), "live": live,
        "final": sum(all(one.resolved for one in same) for _, same in kept), "error": _error(values, days),
        "mean": expected.mean, "low": expected.low, "high": expected.high, "eras": expected.eras, "place": place,
    }  # fmt: skip


def charts(record: LiveRecord) -> list[tuple[Markup, bool]]:
    """Return the charts, each with whether it has a single round, which is drawn as a dot: sums, and a rolling mean of pay."""
    known = sorted({one.round for one in record.rounds})
    if not known:
        return []
    numbers = known[-min(CHARTED, CHARTED_POINTS // len(record.groups)) :]
    labels = [str(number) for number in numbers]
    about = f"the newest {len(numbers)} rounds" if len(numbers) < len(known) else ""
    drawn = []
    for figure, title in FIGURES.items():
        lines = list(_lines(record, figure, numbers, _summed))
        if lines:
            drawn.append(line_chart(f"{title[0].upper()}{title[1:]}, cumulative", labels, lines, note=about))
    count = WINDOWS[0]
    if len(numbers) > count:
        lines = list(_lines(record, PAY, numbers, _rolling))
        if lines:
            drawn.append(
                line_chart(
                    f"Mean pay of {count} rounds", labels, lines, note="per NMR staked, each with the rounds before"
                )
            )
    return [(one, len(numbers) == 1) for one in drawn]


def _lines(record: LiveRecord, figure: str, numbers: Sequence[int], through: Any) -> Iterator[Line]:  # noqa: ANN401 - one of two functions
    for name in (*record.slots, *record.benchmarks):
        series = record.series(name, figure)
        values = through([series.get(number, np.nan) for number in numbers])
        if np.isfinite(values).any():
            yield Line(name=name, values=values.tolist(), dashed=name in record.benchmarks, joined=True)


def _summed(values: Sequence[float]) -> Floats:
    """Return the running sum; NaN where there is no value."""
    series = np.array(values)
    return np.where(np.isfinite(series), np.nancumsum(series), np.nan)


def _rolling(values: Sequence[float]) -> Floats:
    """Return the mean of each value and those before it; NaN until there are enough."""
    series, count = np.array(values), WINDOWS[0]
    found, known = np.full(len(series), np.nan), np.flatnonzero(np.isfinite(series))
    if len(known) >= count:
        sums = np.cumsum(np.insert(series[known], 0, 0.0))
        found[known[count - 1 :]] = (sums[count:] - sums[:-count]) / count
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
