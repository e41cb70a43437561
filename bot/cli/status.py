"""`bot status`: what the bot did and how it is, from the state directory alone."""

import json
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from bot.cli.app import app
from bot.cli.paths import Places, places
from bot.errors import BadConfig

WATCH_S = 2.0
CLEAR = "\x1b[2J\x1b[H"
"""Empties the screen and goes to its top (ECMA-48); left out by itself where the output is no terminal."""


@app.command()
def status(
    round_: Annotated[
        int | None, typer.Argument(metavar="[ROUND]", help="Everything that is kept of one round.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again every two seconds, until stopped.")] = False,
) -> None:
    """Show rounds, champions, chores and troubles, or one round in full; asks nobody."""
    while True:
        shown = _round(places(), round_) if round_ is not None else _overview(places())
        if watch:
            typer.echo(CLEAR, nl=False)
        typer.echo(json.dumps(shown[0], indent=1) if as_json else shown[1])
        if not watch:
            return
        time.sleep(WATCH_S)


def _overview(at: Places) -> tuple[dict[str, Any], str]:
    from bot.serving.version_pin import Pin  # noqa: PLC0415
    from bot.web.status import overview  # noqa: PLC0415

    found = overview(at.state_dir, at.ledger, now=datetime.now(UTC))
    lines = [f"mode      {found['mode']}"]
    seen = found.get("last_seen_round")
    if seen:
        verb = "open until" if seen["open"] else "closed at"
        lines.append(f"newest    round {seen['number']}, {verb} {_short(seen['closes_at'])} UTC")
    lines.append(f"daemon    {'; '.join(found['daemon']) or 'healthy'}")
    versions = found["data_versions"]
    lines += [
        f"champion  {recipe}: {identity}, on {versions[recipe] or 'an unknown version'}"
        for recipe, identity in found["champions"].items()
    ] or ["champion  none yet; `bot retrain` makes one"]
    pins = [Pin(recipe=recipe, champion=version, setting=at.data_version) for recipe, version in versions.items()]
    found["notes"] = [pin.note for pin in pins if pin.note]
    lines += [f"note      {one}" for one in found["notes"]]
    for identity in found["champions"].values():
        if told := found["diagnostics"].get(identity):
            lines.append(f"diagnosis {identity}: {told['state']}: {told['verdict'] or 'not done yet'}")
    for chore in found["chores"]:
        outcome = chore["outcome"] or "running, or cut off"
        lines.append(
            f"chore     {chore['name']}: {outcome}, since {_short(chore['finished_at'] or chore['started_at'])}"
        )
    lines += [f"trouble   {title}" for title in found["troubles"].values()]
    for entry in found["rounds"]:
        what = entry["submission"] or "-"
        lines.append(f"round {entry['round']}  {entry['slot']}  {entry['state']}  {entry['artifact']}  {what}")
    return found, "\n".join(lines if found["rounds"] else [*lines, "no round yet"])


def _round(at: Places, number: int) -> tuple[dict[str, Any], str]:
    from bot.web.status import post_mortem  # noqa: PLC0415

    if not at.ledger.is_file():
        raise BadConfig(f"{at.ledger} does not exist: no round was played in this mode")
    found = post_mortem(at.ledger, number)
    if not found["slots"] and not found["events"]:
        raise BadConfig(f"round {number} is not in {at.ledger}; `bot status` lists the newest rounds")
    lines = [f"round {number}"]
    lines += [
        f"  live file   {one['version']}  {one['rows']} rows, sha256 {one['sha256'][:12]}" for one in found["live"]
    ]
    for slot, about in found["slots"].items():
        lines.append(f"  {slot}: {about['state']}  {about['filename'] or ''}")
        lines.append(f"    artifact    {about['artifact']}   predictions sha256 {about['csv_sha256'][:12]}")
        lines.append(f"    intended    {_short(about['intended_at'])}   confirmed {_short(about['confirmed_at'])}")
        if like := about["benchmark"]:
            lines.append(
                f"    benchmark   {like['correlation']:.3f} with {like['benchmark']}  {like['finding']}".rstrip()
            )
        report = about["report"] or {"gates": [], "seconds": {}}
        lines.append("    seconds     " + ", ".join(f"{stage} {value}" for stage, value in report["seconds"].items()))
        lines += [
            f"    gate {gate['gate']:<20} {'ok' if gate['ok'] else 'REFUSED'}  {_figure(gate['value'])} (limit {gate['limit']})"
            for gate in report["gates"]
        ]
    lines += [f"  {_short(one['at'])}  {one['event']}" for one in found["events"]]
    lines += [
        f"  log  {_short(line.get('timestamp'))}  {line.get('level')}  {line.get('event')}" for line in found["log"]
    ]
    return found, "\n".join(lines)


def _short(at: str | None) -> str:
    return "-" if at is None else at[:19].replace("T", " ")


def _figure(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
