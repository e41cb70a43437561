"""The daemon's HTML pages, rendered on the server from ledger, artifacts and reports."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from starlette.responses import FileResponse, HTMLResponse, Response

from bot.findings import Absent
from bot.live.live_scores import LiveScores
from bot.record.ledger import Ledger, rounds_folder
from bot.reporting.chart_axes import format_number
from bot.web._round_rows import RoundScores
from bot.web.application import SECURITY
from bot.web.content.artifact_files import ArtifactFiles, all_artifacts
from bot.web.content.comparison import compare_artifacts, kept_pages
from bot.web.content.live_record import (
    COMMON,
    PAIRED,
    WINDOWS,
    LiveRecord,
    against_benchmarks,
    alike,
    charts,
    expected_and_seen,
    newest_rounds,
    totals,
    windows,
)
from bot.web.content.models import model_cards
from bot.web.content.now import BAD, STRIP, champions_now, health, newest_rows, slots_now, tone
from bot.web.content.round_slots import slot_rows
from bot.web.content.timeline import one_day, round_state, timeline
from bot.web.status import kept_back_without_alert, overview, post_mortem, problems_without_alert

MOST_ENTRIES = 20_000
"""Submissions that a page reads of the ledger: ten slots for seven years."""

SHOWN = 60
"""Number of newest live rounds in the table."""

MOST_OTHERS = 60
"""Newest artifacts that the page of a comparison offers."""

WITH_FORM = {
    "Content-Security-Policy": SECURITY["Content-Security-Policy"].replace("form-action 'none'", "form-action 'self'"),
    # With no-referrer a browser sends no origin, which tells an order of another site from one of the page.
    "Referrer-Policy": "same-origin",
}
"""Headers of a page that may send a form to the bot."""

_ROUND = re.compile(r"[0-9]{1,9}")
_IDENTITY = re.compile(r"[A-Za-z0-9-]{1,80}")


class Pages:
    """
    The pages of a state directory.

    Args:
        state_dir: The state directory.
        ledger_path: Ledger of the live or the dry-run mode.
        problems: Returns the problems of the daemon; by default those of the heartbeat's file.
        control: Names of the slots that the page Now has buttons for; ``None`` shows no buttons.
        slots: Returns the names of all slots of the settings; none where the settings do not name them.
    """

    def __init__(
        self,
        state_dir: Path,
        ledger_path: Path,
        problems: Callable[[], Sequence[str]] | None = None,
        *,
        control: Sequence[str] | None = None,
        slots: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._state_dir, self._ledger_path, self._problems = state_dir, ledger_path, problems
        self._control, self._slots = control, slots

    def now(self, _name: str = "") -> Response:
        """Return the page of the newest rounds, champions, jobs and open alerts."""
        now = datetime.now(UTC)
        known = self._known(now)
        champions, slots = (
            list(champions_now(self._state_dir, known["champions"], now)),
            slots_now(known, self._slots()),
        )
        answer = self._page(
            "now.html.j2",
            "Now",
            known,
            here="/",
            slots=slots,
            champions=champions,
            rounds=newest_rows(known),
            control=self._control is not None,
            controlled=sorted(self._control or {one["slot"] for one in slots}),
        )
        if self._control is not None:
            answer.headers.update(WITH_FORM)
        return answer

    def live(self, _name: str = "") -> Response:
        """Return the page of live scores and payouts: by round and cumulative, beside the benchmark and what was expected."""
        with closing(LiveScores(self._ledger_path, read_only=True)) as scores:
            rounds = scores.rounds()
        with closing(Ledger(self._ledger_path, read_only=True)) as ledger:
            record = LiveRecord.of(rounds, ledger.entries(limit=MOST_ENTRIES))
        return self._page(
            "live.html.j2",
            "Live scores",
            here="/live",
            live=newest_rounds(record, limit=SHOWN),
            benchmark=next(iter(record.benchmarks), None),
            names=sorted({name for one in rounds for name in one.scores}),
            paid=any(one.paid is not None for one in rounds),
            linked={number for number, _ in record.artifacts},
            several=len(record.slots) > 1,
            charts=charts(record),
            windows_of=WINDOWS,
            windows=windows(record),
            totals=totals(record),
            against=against_benchmarks(record),
            expected=expected_and_seen(record, self._state_dir / "artifacts"),
            common=COMMON,
            paired=PAIRED,
            left_out=len(record.slots) > PAIRED,
            alike=alike(record, rounds_folder(self._ledger_path)),
        )

    def models(self, _name: str = "") -> Response:
        """Return the page of all artifacts as cards: hold-out scores, and the reason of each promotion decision."""
        now = datetime.now(UTC)
        known = self._known(now)
        recipes = model_cards(self._state_dir, known["champions"], known["diagnostics"], now)
        return self._page("models.html.j2", "Models", known, here="/models", recipes=recipes)

    def compare(self, name: str) -> Response | None:
        """
        Return the page that compares two artifacts, ``A/B``; ``None`` if one is unknown.

        For ``A`` alone it offers what to compare with; for an empty name it offers every artifact.
        """
        both = [self._artifact(identity) for identity in name.split("/")[:2]] if name else []
        if None in both:
            return None
        known = self._known(datetime.now(UTC))
        chosen = [one for one in both if one is not None]
        content: dict[str, Any] = {"first": next(iter(chosen), None), "chosen": len(chosen) > 1, "pages": []}
        if len(chosen) > 1:
            found = compare_artifacts(chosen[0], chosen[1])
            content |= {"reason": found.reason} if isinstance(found, Absent) else {"found": found}
            content["both"] = [{"id": one.id, "report": self._report(one.id).is_file()} for one in chosen]
            content["pages"] = kept_pages(self._state_dir, {one.recipe for one in chosen})
        else:
            content["others"] = list(self._to_choose(chosen, known["champions"]))
        return self._page("compare.html.j2", "Compare", known, here="/models", **content)

    def _to_choose(self, chosen: Sequence[ArtifactFiles], champions: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield the newest artifacts that are not chosen yet, each with the champion of its recipe as its rival."""
        taken = {one.id for one in chosen}
        for one in [one for one in all_artifacts(self._state_dir) if one.id not in taken][:MOST_OTHERS]:
            champion = champions.get(one.recipe)
            is_champion = one.id == champion
            rival = None if is_champion else champion
            yield {"id": one.id, "recipe": one.recipe, "day": one.day, "champion": is_champion, "rival": rival}

    def comparison(self, name: str) -> Response | None:
        """Return the page that `bot evaluate compare` left in a folder; ``None`` if there is none."""
        file = self._state_dir / "experiments" / name / "comparison.html"
        if not _IDENTITY.fullmatch(name) or not file.is_file():
            return None
        return FileResponse(file, media_type="text/html")

    def _artifact(self, identity: str) -> ArtifactFiles | None:
        return ArtifactFiles.read(self._state_dir / "artifacts" / identity) if _IDENTITY.fullmatch(identity) else None

    def round(self, name: str) -> Response | None:
        """Return the page of a round; ``None`` if the ledger does not hold it."""
        if not _ROUND.fullmatch(name):
            return None
        found = post_mortem(self._ledger_path, int(name))
        if not found["slots"] and not found["events"] and not found["failure"]:
            return None
        number, now, rows = int(name), datetime.now(UTC), timeline(found)
        with (
            closing(RoundScores(self._ledger_path, read_only=True)) as record,
            closing(Ledger(self._ledger_path, read_only=True)) as ledger,
        ):
            scores = [(slot, one) for (round_, slot), one in record.since(number).items() if round_ == number]
            others = ledger.newest_rounds(limit=MOST_ENTRIES)
        return self._page(
            "round.html.j2",
            f"Round {number}",
            here="/round",
            one=found,
            is_open=bool(found["closes_at"]) and datetime.fromisoformat(found["closes_at"]) > now,
            badge=round_state(found),
            slots=slot_rows(found),
            scores=scores,
            names=sorted({score for _, one in scores for score in one["scores"]}),
            timeline=rows,
            day=one_day(rows),
            before=max((one for one in others if one < number), default=None),
            after=min((one for one in others if one > number), default=None),
        )

    def report(self, name: str) -> Response | None:
        """Return the stored report of an artifact; ``None`` if there is none."""
        file = self._report(name)
        if not _IDENTITY.fullmatch(name) or not file.is_file():
            return None
        return FileResponse(file, media_type="text/html")  # in parts, since a report may be large and its reader slow

    def _report(self, identity: str) -> Path:
        return self._state_dir / "reports" / f"{identity}.html"

    def _known(self, now: datetime) -> dict[str, Any]:
        known: dict[str, Any] = overview(
            self._state_dir, self._ledger_path, now=now, rounds=STRIP + 1, slots=self._slots()
        )
        if self._problems is not None:
            known["daemon"] = list(self._problems())
        return known

    def _page(self, template: str, title: str, known: dict[str, Any] | None = None, **content: object) -> Response:
        now = datetime.now(UTC)
        known = self._known(now) if known is None else known
        about: dict[str, Any] = {
            "title": title,
            "now": known,
            "problems": problems_without_alert(known),
            "kept_back": kept_back_without_alert(known),
            "at": f"{now:%Y-%m-%d %H:%M:%S}",
            "bad_states": BAD,
            "badge": health(known),
            **content,
        }
        about["badge_tone"] = tone(about["badge"])
        return HTMLResponse(_environment().get_template(template).render(**about))


@cache
def _environment() -> Environment:
    environment = Environment(loader=PackageLoader("bot"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = format_number
    environment.filters["moment"] = lambda at: "-" if not at else str(at)[:19].replace("T", " ")
    return environment
