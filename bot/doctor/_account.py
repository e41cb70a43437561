"""What only Numerai can say: key and scopes, slots, the round, what it pays, the time, and the data version."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from bot.assembly import find_slots, pins, versions
from bot.doctor.checks import Check, failure, guarded, note, ok, warning
from bot.errors import BadConfig, BadCredentials, NumeraiUnavailable, RoundNotOpen
from bot.settings import Settings
from bot.tournament.client import NumeraiClient
from bot.tournament.columns import horizon, version_order
from bot.tournament.rounds import Round

NEEDED = frozenset({"upload_submission", "read_submission_info", "read_user_info", "download_submission"})
"""Upload, list what the server holds, find the slots, and read a submission back."""

TOO_MUCH = re.compile(r"stake|delete|write")
"""Scopes that move money or change the account; the bot uses none of them."""

SKEW_S = 30.0
"""Seconds of difference to the server's clock that are worth a word; the bot itself goes by the server's."""


def examine(settings: Settings, client: NumeraiClient) -> Iterator[Check]:
    """Ask Numerai; when it does not answer, say so once and ask nothing more."""
    try:
        client.datasets()
    except NumeraiUnavailable as error:
        yield failure("numerai", error, "check network, proxy and BOT_API_URL; nothing below could be asked")
        return
    yield from guarded("clock", lambda: _clock(client), "start a time service such as chrony")
    yield from guarded("data", lambda: _data(settings, client), "`bot retrain --data-version` with one that is offered")
    yield from guarded("round", lambda: _round(settings, client), "wait for the next round")
    if settings.numerai_public_id is None or settings.numerai_secret_key is None:
        yield note("account", "not asked without a key")
        return
    yield from guarded("scopes", lambda: _scopes(client), "create a new key on numer.ai/account")
    yield from guarded("slots", lambda: _slots(settings, client), "set BOT_SLOTS=model=recipe")


def _clock(client: NumeraiClient) -> Iterator[Check]:
    skew_s = (datetime.now(UTC) - client.server_now()).total_seconds()
    if abs(skew_s) > SKEW_S:
        ahead = "ahead of" if skew_s > 0 else "behind"
        yield warning(
            "clock", f"this machine is {abs(skew_s):.0f} s {ahead} Numerai", "start a time service such as chrony"
        )
    else:
        yield ok("clock", f"within {max(1.0, abs(skew_s)):.0f} s of Numerai's")


def _data(settings: Settings, client: NumeraiClient) -> Iterator[Check]:
    offered = sorted({name.partition("/")[0] for name in client.datasets()}, key=version_order)
    wanted = versions(pins(settings))
    for one in wanted:
        if one not in offered:
            raise BadConfig(f"data version {one} is not offered; there are: {', '.join(offered) or 'none'}")
    yield ok("data", f"{' and '.join(wanted)} offered")
    newest = max(wanted, key=version_order)
    newer = [version for version in offered if version_order(version) > version_order(newest)]
    if newer:
        yield note(
            "data",
            f"newer: {', '.join(newer)}",
            f"`bot retrain --data-version {newer[-1]}`: a champion trained on it has to win first, nothing moves by itself",
        )


def _round(settings: Settings, client: NumeraiClient) -> Iterator[Check]:
    try:
        current = client.current_round()
    except RoundNotOpen as waiting:
        yield ok("round", str(waiting))
        return
    closes = current.closes_at
    yield ok(
        "round",
        f"{current.number} is open until {closes:%a %H:%M} UTC ({closes.astimezone():%a %H:%M %Z} here),"
        f" {current.seconds_left(client.server_now()) / 60:.0f} minutes from now",
    )
    yield from _pay(settings, current)


def _pay(settings: Settings, current: Round) -> Iterator[Check]:
    """Compare what the round pays for with what is trained; scores are named as ``corr60`` or by their horizon."""
    if not current.payouts:
        yield note("pay", f"round {current.number} does not say what it pays")
        return
    formula = " + ".join(f"{one.multiplier:g} x {one.score}" for one in current.payouts)
    horizons = {int(days) for one in current.payouts for days in re.findall(r"(?<!\d)(20|60)(?!\d)", one.score)}
    trained = horizon(settings.target)
    if horizons and trained not in horizons:
        paid = " and ".join(map(str, sorted(horizons)))
        yield warning(
            "pay",
            f"the round pays {formula}: {paid} days; {settings.target} looks {trained} days ahead",
            f"set BOT_TARGET to a target that ends in _{max(horizons)}, and `bot retrain`",
        )
    else:
        yield ok("pay", f"{formula}; trained on {settings.target}")


def _scopes(client: NumeraiClient) -> Iterator[Check]:
    scopes = client.scopes()
    absent = sorted(NEEDED - scopes)
    if absent:
        yield failure(
            "scopes",
            BadCredentials(f"the key lacks {', '.join(absent)}"),
            "create a key with these scopes on numer.ai/account",
        )
    else:
        yield ok("scopes", ", ".join(sorted(NEEDED)))
    excess = sorted(scope for scope in scopes if TOO_MUCH.search(scope))
    if excess:
        yield warning(
            "scopes", f"the key may also {', '.join(excess)}, which the bot never needs", "create a smaller key"
        )


def _slots(settings: Settings, client: NumeraiClient) -> Iterator[Check]:
    slots = find_slots(settings, client)
    yield ok("slots", ", ".join(f"{slot.name} ({slot.recipe})" for slot in slots))
    hosted = client.hosted()
    for slot in slots:
        if slot.name in hosted:
            yield failure(
                "slots",
                BadConfig(
                    f"slot {slot.name} runs the Model Upload {hosted[slot.name]}, which shuts out submissions by API"
                ),
                "disable the upload on numer.ai/models, or fill another slot",
            )
