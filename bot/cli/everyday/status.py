"""`bot status`: rounds, champions, jobs and problems, from the state directory alone."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import typer

from bot.cli.paths import StatePaths, state_paths
from bot.errors import BadConfig
from bot.serving.names import STARTER
from bot.serving.version_pin import Pin
from bot.system.moments import local, until
from bot.web.status import kept_back_without_alert, newest_round, overview, post_mortem, problems_without_alert

WATCH_S = 2.0
CLEAR = "\x1b[2J\x1b[H"
"""Clears the screen and moves the cursor to its top (ECMA-48); typer drops it where the output is no terminal."""

SCORES = ("CORR", "corr60"), ("MMC", "mmc60")
"""Scores in the list of rounds: title, and Numerai's name of what is paid since round 1343."""

Content = Mapping[str, Any]


def show_status(wanted: str | None, *, as_json: bool, watch: bool) -> None:
    """
    Print the overview, or everything that is kept of a round.

    Args:
        wanted: Number of a round, or ``latest``; ``None`` shows the overview.
        as_json: Print JSON.
        watch: Print again every two seconds, until stopped.

    Raises:
        BadConfig: Nothing is kept of the round, or *wanted* is no round.
    """
    while True:
        paths, now = state_paths(), datetime.now(UTC)
        content = _overview(paths, now) if wanted is None else _round(paths, wanted)
        lines = _overview_lines(content, now) if wanted is None else _round_lines(content)
        if watch:
            typer.echo(CLEAR, nl=False)
        typer.echo(json.dumps(content, indent=1) if as_json else "\n".join(lines))
        if not watch:
            return
        time.sleep(WATCH_S)


def _overview(paths: StatePaths, now: datetime) -> Content:
    content = overview(paths.state_dir, paths.ledger, now=now, slots=paths.slot_names)
    pins = [
        Pin(recipe=recipe, champion=version, setting=paths.data_version)
        for recipe, version in content["data_versions"].items()
    ]
    return {**content, "notes": [*(pin.note for pin in pins if pin.note), *_same_recipes(paths.slots)]}


def _same_recipes(slots: Mapping[str, str]) -> Iterator[str]:
    """Yield a note for each recipe that fills several slots."""
    for recipe in dict.fromkeys(slots.values()):
        names = [name for name, one in slots.items() if one == recipe]
        if len(names) > 1:
            yield f"slots {' and '.join(names)} have the same recipe {recipe}: they send the same predictions"


def _overview_lines(content: Content, now: datetime) -> Iterator[str]:
    for alert in content["alerts"]:
        yield f"trouble   {alert['title']}"
        yield f"          since {local(alert['since'])}"
        yield from (f"          {line}" for line in alert["body"].splitlines())
    if content["daemon"]:
        yield f"daemon    {'; '.join(problems_without_alert(content)) or 'unhealthy: see the trouble above'}"
    if content.get("messages_waiting"):
        yield f"alerts    not sent to every address yet: {content['messages_waiting']}; `bot alert test` says why"
    yield f"mode      {content['mode']}"
    yield from _moment_lines(content, now)
    if not content["daemon"]:
        yield "daemon    healthy"
    yield from _champion_lines(content)
    for one in content["hosted"]:
        yield f"hosted    {_hosted_line(one)}"
    for work in content["progress"]:
        yield f"running   {work['name']}: {work['line']}"
    for job in content["chores"]:
        runs = any(work["name"] == job["name"] for work in content["progress"])
        outcome = job["outcome"] or ("running" if runs or not content["daemon"] else "running, or cut off")
        yield f"job       {job['name']}: {outcome}, since {local(job['finished_at'] or job['started_at'])}"
    yield from _row_lines(content["rounds"])
    if not content["rounds"]:
        yield "no round yet"


def _moment_lines(content: Content, now: datetime) -> Iterator[str]:
    for pause in content["paused"]:
        end = f"until {until(pause['until'], now)}" if pause["until"] else "until `bot resume`"
        yield f"paused    {pause['slot'] or 'every slot'} {end}"
    newest = content.get("last_seen_round")
    if newest and newest["open"]:
        yield f"open      round {newest['number']} until {until(newest['closes_at'], now)}"
    elif newest:
        yield f"newest    round {newest['number']}, closed {local(newest['closes_at'])}"
    if content["next_opening"]:
        yield f"next      {until(content['next_opening'], now)} (as in earlier weeks)"


def _row_lines(rows: Sequence[Content]) -> Iterator[str]:
    slots = max((len(row["slot"]) for row in rows), default=0)
    for row in rows:
        if through := row.get("through"):
            many = f"rounds {through} to {row['round']}" if through < row["round"] else f"round {row['round']}"
            yield f"{many}  not seen: the bot did not run"
            continue
        about = [f"round {row['round']}", f"{row['slot'] or '-':<{slots}}", f"{row['state']:<9}", *_score_cells(row)]
        yield "  ".join(about).rstrip()
        yield from _why_lines(row)
        yield from _fallback_lines(row)


def _score_cells(row: Content) -> Iterator[str]:
    for title, name in SCORES:
        if name in row["scores"]:
            yield f"{title} {row['scores'][name]:+.4f}"
    if row.get("pay") is not None:
        yield f"pay {row['pay']:+.4f}"
    if row.get("paid_nmr") is not None:
        yield f"{row['paid_nmr']:+.3f} NMR"
    if row["scores"]:
        yield "final" if row["final"] else "so far"


def _why_lines(row: Content) -> Iterator[str]:
    """Yield the reason of a round without a confirmed submission, what to do, and the setting that decides."""
    failure = row["failure"]
    if failure is None:
        if row["state"] == "missed":
            yield "    why         no attempt is recorded; the bot may have been stopped: see `bot doctor`"
        return
    yield f"    why         {failure['headline']}"
    if failure["remedy"]:
        yield f"    what to do  {failure['remedy']}"
    if failure["settings"]:
        yield f"    setting     {', '.join(failure['settings'])}"


def _champion_lines(content: Content) -> Iterator[str]:
    versions, champions = content["data_versions"], content["champions"]
    for recipe, identity in champions.items():
        use = "; it fills slots whose recipe has no champion" if recipe == STARTER else ""
        yield f"champion  {recipe}: {identity}, on {versions[recipe] or 'an unknown version'}{use}"
    untold = kept_back_without_alert(content)
    for recipe in content["kept_back"]:
        yield f"champion  {recipe}: none yet; {untold.get(recipe, 'the trouble above says why')}"
    if not champions and not content["kept_back"]:
        trains = any(work["name"] == "retrain" for work in content["progress"])
        yield f"champion  none yet; {'the first training runs' if trains else '`bot retrain` makes one'}"
    for note in content["notes"]:
        yield f"note      {note}"
    for identity in champions.values():
        if result := content["diagnostics"].get(identity):
            yield f"diagnosis {identity}: {result['state']}: {result['verdict'] or 'not done yet'}"


def _hosted_line(one: Content) -> str:
    """Return what is known of a pickle of a slot that Numerai runs."""
    about = f"{one['slot']}: {one['summary']}, artifact {one['artifact']}, pickle {one['pickle'] or 'none yet'}"
    if one["state"] != "assigned":
        return about
    looked = f"looked at {local(one['checked_at'])}" if one["checked_at"] else "not looked at yet"
    stale = f", history until {one['stale_after'][:10]}" if one["stale_after"] else ""
    return f"{about}, since {local(one['assigned_at'])}, {looked}{stale}"


def _round(paths: StatePaths, wanted: str) -> Content:
    if not (wanted == "latest" or re.fullmatch(r"[0-9]{1,9}", wanted)):
        raise BadConfig(f"{wanted!r} is no round; write its number, or `latest`")
    if not paths.ledger.is_file():
        raise BadConfig(f"{paths.ledger} does not exist: no round was played in this mode")
    number = newest_round(paths.ledger) if wanted == "latest" else int(wanted)
    if number is None:
        raise BadConfig(f"{paths.ledger} holds no round yet")
    content = post_mortem(paths.ledger, number)
    if not content["slots"] and not content["events"] and not content["failure"]:
        raise BadConfig(f"round {number} is not in {paths.ledger}; `bot status` lists the newest rounds")
    return content


def _round_lines(content: Content) -> Iterator[str]:
    yield f"round {content['round']}"
    if content["failure"]:
        yield from _why_lines({**content, "state": ""})
    for slot, submission in content["slots"].items():
        yield from _slot_lines(slot, submission)
    for file in content["live"]:
        yield f"  live file   {file['version']}  {file['rows']} rows, sha256 {file['sha256'][:12]}"
    for event in content["events"]:
        yield f"  {_short(event['at'])}  {event['event']}"
    for line in content["log"]:
        reason = f": {line['reason']}" if line.get("reason") else ""
        yield f"  log  {_short(line.get('timestamp'))}  {line.get('level')}  {line.get('event')}{reason}"


def _slot_lines(slot: str, submission: Content) -> Iterator[str]:
    yield f"  {slot}: {submission['state']}  {submission['filename'] or ''}".rstrip()
    if submission["state"] != "confirmed":
        yield from _why_lines(submission)
    if failure := submission["failure"]:
        times = "once" if failure["attempts"] == 1 else f"{failure['attempts']} times"
        yield f"    failed      {times}, last at {_short(failure['last_at'])}"
    predictions = f"   predictions sha256 {submission['csv_sha256'][:12]}" if submission["csv_sha256"] else ""
    yield f"    artifact    {submission['artifact'] or '-'}{predictions}"
    yield from _fallback_lines(submission)
    if submission["intended_at"]:
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
