"""The daemon's read-only HTML pages, rendered on the server from ledger, artifacts and reports."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from starlette.responses import FileResponse, HTMLResponse, Response

from bot.live.live_scores import LiveRound, LiveScores
from bot.reporting.chart_axes import format_number
from bot.reporting.charts import Line, line_chart
from bot.serving.artifacts import MANIFEST
from bot.serving.names import ENSEMBLE
from bot.web._now import STRIP, champions_now, slots_now, totals
from bot.web._timeline import round_state, timeline
from bot.web.status import overview, post_mortem

SHOWN = 60
"""Number of newest live rounds in the table; the charts show all rounds."""

_ROUND = re.compile(r"[0-9]{1,9}")
_IDENTITY = re.compile(r"[A-Za-z0-9-]{1,80}")


class Pages:
    """
    The pages of a state directory.

    Args:
        state_dir: The state directory.
        ledger_path: Ledger of the live or the dry-run mode.
        problems: Returns the problems of the daemon; by default those of the heartbeat's file.
    """

    def __init__(self, state_dir: Path, ledger_path: Path, problems: Callable[[], Sequence[str]] | None = None) -> None:
        self._state_dir, self._ledger_path, self._problems = state_dir, ledger_path, problems

    def now(self, _name: str = "") -> Response:
        """Return the page of the newest rounds, champions, jobs and open alerts."""
        now = datetime.now(UTC)
        known = self._known(now)
        champions = list(champions_now(self._state_dir, known["champions"], now))
        return self._page("/", "Now", known, slots=slots_now(known), champions=champions)

    def live(self, _name: str = "") -> Response:
        """Return the page of live scores and payouts, by round and cumulative."""
        record = LiveScores(self._ledger_path, read_only=True)
        try:
            rounds = record.rounds()
        finally:
            record.close()
        names = sorted({name for one in rounds for name in one.scores})
        paid = any(one.paid is not None for one in rounds)
        shown = rounds[::-1][:SHOWN]
        return self._page(
            "/live", "Live scores", charts=_charts(rounds), live=shown, names=names, paid=paid, totals=totals(rounds)
        )

    def models(self, _name: str = "") -> Response:
        """Return the page of all artifacts with their hold-out scores and the reason of each promotion decision."""
        folder = self._state_dir / "artifacts"
        known = self._known(datetime.now(UTC))
        champions = set(known["champions"].values())
        found = []
        for path in sorted(folder.glob(f"[0-9]*/{MANIFEST}"), reverse=True):
            try:
                about = json.loads(path.read_text(encoding="utf-8"))
                # What was adopted has no scores: no era is known to be out of sample.
                score, decision = about["scores"].get(ENSEMBLE, {}), about.get("decision") or {}
                found.append(
                    {
                        "id": about["id"], "recipe": about["recipe"]["name"], "corr": score.get("mean"),
                        "sharpe": score.get("sharpe"), "champion": about["id"] in champions,
                        "promoted": bool(decision.get("promote")), "reason": decision.get("reason", ""),
                        "report": self._report(about["id"]).is_file(),
                        "diagnostics": known["diagnostics"].get(about["id"]),
                    }
                )  # fmt: skip
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue
        return self._page("/models", "Models", known, models=found)

    def round(self, name: str) -> Response | None:
        """Return the page of a round; ``None`` if the ledger does not hold it."""
        if not _ROUND.fullmatch(name):
            return None
        found = post_mortem(self._ledger_path, int(name))
        if not found["slots"] and not found["events"] and not found["failure"]:
            return None
        return self._page("/round", f"Round {name}", one=found, timeline=timeline(found), badge=round_state(found))

    def report(self, name: str) -> Response | None:
        """Return the stored report of an artifact; ``None`` if there is none."""
        file = self._report(name)
        if not _IDENTITY.fullmatch(name) or not file.is_file():
            return None
        return FileResponse(file, media_type="text/html")  # in parts, since a report may be large and its reader slow

    def _report(self, identity: str) -> Path:
        return self._state_dir / "reports" / f"{identity}.html"

    def _known(self, now: datetime) -> dict[str, Any]:
        known: dict[str, Any] = overview(self._state_dir, self._ledger_path, now=now, rounds=STRIP + 1)
        if self._problems is not None:
            known["daemon"] = list(self._problems())
        return known

    def _page(self, here: str, title: str, known: dict[str, Any] | None = None, **content: object) -> Response:
        now = datetime.now(UTC)
        known = self._known(now) if known is None else known
        html = _template().render(here=here, title=title, now=known, at=f"{now:%Y-%m-%d %H:%M:%S}", **content)
        return HTMLResponse(html)


@cache
def _template() -> Any:  # noqa: ANN401 - jinja2's Template, whose methods are untyped
    environment = Environment(loader=PackageLoader("bot"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = format_number
    environment.filters["moment"] = lambda at: "-" if not at else str(at)[:19].replace("T", " ")
    return environment.get_template("status.html.j2")


def _charts(rounds: Sequence[LiveRound]) -> list[Markup]:
    """Draw each score and the payout per NMR, cumulative over the rounds, one line a model."""
    if not rounds:
        return []
    labels = sorted({one.round for one in rounds})
    place = {number: index for index, number in enumerate(labels)}
    names = sorted({name for one in rounds for name in one.scores})
    drawn = []
    for name in ["pay", *names]:
        values: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(labels))
        for one in rounds:
            value = one.pay if name == "pay" else one.scores.get(name)
            values[one.slot][place[one.round]] = value or 0.0
        lines = [Line(name=slot, values=list(accumulate(series))) for slot, series in sorted(values.items())]
        title = "Pay per NMR staked, cumulative" if name == "pay" else f"{name}, cumulative"
        drawn.append(line_chart(title, [str(one) for one in labels], lines))
    return drawn
