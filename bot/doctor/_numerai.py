"""Checks that ask Numerai: time, data version, round and its pay, and the scopes and slots of each account."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial

from bot.assembly import find_slots, pins, resolve_recipe, slot_recipes, versions
from bot.doctor.checks import Check, failure, guarded, named, note, ok, warning
from bot.errors import BadConfig, BadCredentials, NumeraiUnavailable, RoundNotOpen
from bot.settings import Account, Settings
from bot.tournament.client import NumeraiClient
from bot.tournament.columns import horizon, version_order
from bot.tournament.rounds import Round
from bot.training import recipe_file

NEEDED = frozenset({"upload_submission", "read_submission_info", "read_user_info", "download_submission"})
"""Upload, list what the server holds, find the slots, and read a submission back."""

TOO_MUCH = re.compile(r"stake|delete|write")
"""Scopes that move money or change the account; the bot uses none of them."""

SKEW_S = 30.0
"""Seconds of difference to the server's clock over which to warn; the bot itself uses the server's time."""


def examine(settings: Settings, open_client: Callable[[Settings], NumeraiClient]) -> Iterator[Check]:
    """
    Yield the checks that need Numerai; when it does not answer the first, the others are left out.

    Args:
        settings: The settings.
        open_client: Opens a client with the key of such settings.

    Raises:
        BadCredentials: Only half of the key is set.
    """
    client = open_client(settings)
    try:
        client.datasets()
    except NumeraiUnavailable as error:
        yield failure("numerai", error, "check network, proxy and BOT_API_URL; the checks after this need Numerai")
        return
    yield from guarded("clock", partial(_clock, client), "start a time service such as chrony")
    yield from guarded(
        "data", partial(_data, settings, client), "`bot retrain --data-version` with one that is offered"
    )
    yield from guarded("round", partial(_round, settings, client), "wait for the next round")
    for account in settings.accounts_in_use:
        try:
            own = settings.of_account(account.name)
        except BadConfig:
            continue  # the local checks report a key that cannot be read
        yield from _account(own, account, client if account.name is None else open_client(own))


def _account(settings: Settings, account: Account, client: NumeraiClient) -> Iterator[Check]:
    if settings.numerai_public_id is None or settings.numerai_secret_key is None:
        yield note("account", "not checked without a key")
        return
    scopes, slots = named("scopes", account), named("slots", account)
    yield from guarded(scopes, partial(_scopes, client, scopes), "create a new key on numer.ai/account")
    yield from guarded(slots, partial(_slots, settings, client, slots), "set BOT_SLOTS=model=recipe")


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
    yield from _pay(settings, client.round_with_pay(current.number) or current)


def _pay(settings: Settings, current: Round) -> Iterator[Check]:
    """Compare the horizons that the round pays for with the target's; its scores have names such as ``corr60``."""
    if not current.payouts:
        yield note("pay", f"round {current.number} has no payout yet")
        return
    formula = " + ".join(f"{one.multiplier:g} x {one.score}" for one in current.payouts)
    horizons = {int(days) for one in current.payouts for days in re.findall(r"(?<!\d)(20|60)(?!\d)", one.score)}
    recipes = [recipe_file.find(name) for name in slot_recipes(settings)]
    plans = [resolve_recipe(settings, recipe, data_version=settings.data_version) for recipe in recipes]
    targets = sorted({plan.target for plan in plans})
    unpaid = [target for target in targets if horizons and horizon(target) not in horizons]
    for target in unpaid:
        paid = " and ".join(map(str, sorted(horizons)))
        yield warning(
            "pay",
            f"the round pays {formula}: {paid} days; {target} looks {horizon(target)} days ahead",
            f"set BOT_TARGET, or the recipe's target, to one that ends in _{max(horizons)}, and `bot retrain`",
        )
    if not unpaid:
        yield ok("pay", f"{formula}; trained on {' and '.join(targets)}")


def _scopes(client: NumeraiClient, name: str) -> Iterator[Check]:
    scopes = client.scopes()
    absent = sorted(NEEDED - scopes)
    if absent:
        yield failure(
            name,
            BadCredentials(f"the key lacks {', '.join(absent)}"),
            "create a key with these scopes on numer.ai/account",
        )
    else:
        yield ok(name, ", ".join(sorted(NEEDED)))
    excess = sorted(scope for scope in scopes if TOO_MUCH.search(scope))
    if excess:
        yield warning(name, f"the key may also {', '.join(excess)}, which the bot never needs", "create a smaller key")


def _slots(settings: Settings, client: NumeraiClient, name: str) -> Iterator[Check]:
    slots = find_slots(settings, client)
    yield ok(name, ", ".join(f"{slot.name} ({slot.recipe})" for slot in slots))
    hosted = client.hosted_models()
    for slot in slots:
        if slot.name in hosted:
            yield failure(
                name,
                BadConfig(
                    f"slot {slot.name} runs the Model Upload {hosted[slot.name]}, which blocks submissions by API"
                ),
                "disable the upload on numer.ai/models, or fill another slot",
            )
