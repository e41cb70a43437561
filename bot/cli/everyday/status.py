"""`bot status`: rounds, champions, jobs and problems, from the state directory alone."""

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import typer

from bot.cli.paths import StatePaths, state_paths
from bot.errors import BadConfig
from bot.serving.names import STARTER
from bot.serving.version_pin import Pin
from bot.web.status import overview, post_mortem

WATCH_S = 2.0
CLEAR = "\x1b[2J\x1b[H"
"""Clears the screen and moves the cursor to its top (ECMA-48); typer drops it where the output is no terminal."""

Content = Mapping[str, Any]


def show_status(number: int | None, *, as_json: bool, watch: bool) -> None:
    """
    Print the overview, or everything that is kept of round *number*.

    Args:
        number: A round.
        as_json: Print JSON.
        watch: Print again every two seconds, until stopped.

    Raises:
        BadConfig: Nothing is kept of the round.
    """
    while True:
        paths = state_paths()
        content = _overview(paths) if number is None else _round(paths, number)
        lines = _overview_lines(content) if number is None else _round_lines(content, number)
        if watch:
            typer.echo(CLEAR, nl=False)
        typer.echo(json.dumps(content, indent=1) if as_json else "\n".join(lines))
        if not watch:
            return
        time.sleep(WATCH_S)


def _overview(paths: StatePaths) -> Content:
    content = overview(paths.state_dir, paths.ledger, now=datetime.now(UTC))
    pins = [
        Pin(recipe=recipe, champion=version, setting=paths.data_version)
        for recipe, version in content["data_versions"].items()
    ]
    return {**content, "notes": [pin.note for pin in pins if pin.note]}


def _overview_lines(content: Content) -> Iterator[str]:
    yield f"mode      {content['mode']}"
    if newest := content.get("last_seen_round"):
        verb = "open until" if newest["open"] else "closed at"
        yield f"newest    round {newest['number']}, {verb} {_short(newest['closes_at'])} UTC"
    yield f"daemon    {'; '.join(content['daemon']) or 'healthy'}"
    yield from _champion_lines(content)
    for job in content["chores"]:
        outcome = job["outcome"] or "running, or cut off"
        yield f"chore     {job['name']}: {outcome}, since {_short(job['finished_at'] or job['started_at'])}"
    for title in content["troubles"].values():
        yield f"trouble   {title}"
    for entry in content["rounds"]:
        submission = entry["submission"] or "-"
        yield f"round {entry['round']}  {entry['slot']}  {entry['state']}  {entry['artifact']}  {submission}"
        yield from _fallback_lines(entry)
    if not content["rounds"]:
        yield "no round yet"


def _champion_lines(content: Content) -> Iterator[str]:
    versions, champions = content["data_versions"], content["champions"]
    for recipe, identity in champions.items():
        use = "; it fills slots whose recipe has no champion" if recipe == STARTER else ""
        yield f"champion  {recipe}: {identity}, on {versions[recipe] or 'an unknown version'}{use}"
    for recipe, about in content["kept_back"].items():
        yield f"champion  {recipe}: none yet; {about}"
    if not champions and not content["kept_back"]:
        yield "champion  none yet; `bot retrain` makes one"
    for note in content["notes"]:
        yield f"note      {note}"
    for identity in champions.values():
        if result := content["diagnostics"].get(identity):
            yield f"diagnosis {identity}: {result['state']}: {result['verdict'] or 'not done yet'}"


def _round(paths: StatePaths, number: int) -> Content:
    if not paths.ledger.is_file():
        raise BadConfig(f"{paths.ledger} does not exist: no round was played in this mode")
    content = post_mortem(paths.ledger, number)
    if not content["slots"] and not content["events"]:
        raise BadConfig(f"round {number} is not in {paths.ledger}; `bot status` lists the newest rounds")
    return content


def _round_lines(content: Content, number: int) -> Iterator[str]:
    yield f"round {number}"
    for file in content["live"]:
        yield f"  live file   {file['version']}  {file['rows']} rows, sha256 {file['sha256'][:12]}"
    for slot, submission in content["slots"].items():
        yield from _slot_lines(slot, submission)
    for event in content["events"]:
        yield f"  {_short(event['at'])}  {event['event']}"
    for line in content["log"]:
        yield f"  log  {_short(line.get('timestamp'))}  {line.get('level')}  {line.get('event')}"


def _slot_lines(slot: str, submission: Content) -> Iterator[str]:
    yield f"  {slot}: {submission['state']}  {submission['filename'] or ''}"
    yield f"    artifact    {submission['artifact']}   predictions sha256 {submission['csv_sha256'][:12]}"
    yield from _fallback_lines(submission)
    yield f"    intended    {_short(submission['intended_at'])}   confirmed {_short(submission['confirmed_at'])}"
    if check := submission["benchmark"]:
        yield f"    benchmark   {check['correlation']:.3f} with {check['benchmark']}  {check['finding']}".rstrip()
    report = submission["report"] or {"gates": [], "seconds": {}}
    yield "    seconds     " + ", ".join(f"{stage} {value}" for stage, value in report["seconds"].items())
    for gate in report["gates"]:
        verdict = "ok" if gate["ok"] else "REFUSED"
        yield f"    gate {gate['gate']:<20} {verdict}  {_figure(gate['value'])} (limit {gate['limit']})"


def _fallback_lines(submission: Content) -> Iterator[str]:
    if submission["rung"] != "champion":
        yield f"    filled by   {submission['rung']}: {submission['passed_over'] or 'the report has the reason'}"


def _short(at: str | None) -> str:
    return "-" if at is None else at[:19].replace("T", " ")


def _figure(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
