"""Checks that ask others: Numerai for time, data, round, pay, scopes and slots, and the storage of packs."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

from bot.assembly import match_slots, pins, resolve_recipe, slot_recipes, versions
from bot.doctor._setup import key_places
from bot.doctor.checks import Check, failure, guarded, named, note, ok, warning
from bot.doctor.keys import LENGTHS, NEEDED
from bot.errors import BadConfig, BadCredentials, BotError, RoundNotOpen, StorageUnavailable
from bot.settings import Account, Settings
from bot.system.configuration.setting_places import place
from bot.system.moments import in_words, local
from bot.tournament.client import NumeraiClient
from bot.tournament.columns import horizon, version_order
from bot.tournament.rounds import Round
from bot.training import recipe_file

TOO_MUCH = re.compile(r"stake|delete|write")
"""Scopes that move money or change the account; the bot uses none of them."""

SKEW_S = 30.0
"""Seconds of difference to the server's clock over which to warn; the bot itself uses the server's time."""


def connect(settings: Settings, open_client: Callable[[Settings], NumeraiClient]) -> NumeraiClient | BotError:
    """Return a client without a key, or the error where Numerai does not answer it."""
    # Rounds and files are public, and a wrong key must not hide their faults.
    client = open_client(settings.model_copy(update={"numerai_public_id": None, "numerai_secret_key": None}))
    try:
        client.datasets()
    except BotError as error:
        return error
    return client


def examine(
    settings: Settings,
    client: NumeraiClient | BotError,
    open_client: Callable[[Settings], NumeraiClient],
    sound: tuple[str, ...],
    locked_out: frozenset[str],
) -> Iterator[Check]:
    """
    Yield the checks that need Numerai; when it does not answer, the others are left out.

    Args:
        settings: The settings.
        client: Result of :func:`connect`.
        open_client: Opens a client with the key of such settings.
        sound: Recipes in use whose files can be read.
        locked_out: Names of the failed checks of keys: nothing is asked for these accounts.
    """
    if isinstance(client, BotError):
        yield failure("numerai", client, f"{_how_to_reach(settings)}; the checks after this need Numerai")
        return
    yield from guarded("clock", partial(_clock, client), "start a time service such as chrony")
    yield from guarded("data", partial(_data, settings, client, sound), "wait until Numerai answers again")
    yield from guarded("round", partial(_round, settings, client, sound), "wait for the next round")
    for account in settings.accounts_in_use:
        if named("key", account) not in locked_out:
            yield from _account(settings.of_account(account.name), account, open_client)


def _how_to_reach(settings: Settings) -> str:
    """Return what to check where the API does not answer."""
    where, parts = place("api_url"), urlsplit(settings.api_url)
    if settings.api_url == Settings.model_fields["api_url"].default:
        return "check the network and the proxy"
    asked = f"port {parts.port or (443 if parts.scheme == 'https' else 80)} of {parts.hostname}"
    unnamed = "" if parts.port else "; it names no port, and a sandbox has one, such as 8008"
    return f"check {where}: {asked} was asked{unnamed}"


def _account(settings: Settings, account: Account, open_client: Callable[[Settings], NumeraiClient]) -> Iterator[Check]:
    """Yield the checks of an account's key and slots; a key that is refused has no slots to check."""
    scopes, slots = named("scopes", account), named("slots", account)
    client, renewal = open_client(settings), _how_to_renew(settings, account)
    found = list(guarded(scopes, partial(_scopes, client, scopes, renewal), renewal))
    yield from found
    if not any(check.verdict == "failure" and "lacks" not in check.what for check in found):
        yield from guarded(slots, partial(_slots, settings, account, client), _how_to_choose(account))


def _how_to_renew(settings: Settings, account: Account) -> str:
    """Return how to replace a key: where its halves are set, and which half has an odd length."""
    places, halves = key_places(account), (settings.numerai_public_id, settings.numerai_secret_key)
    odd = [
        f"{where} has {len(half.get_secret_value())} characters instead of {length}"
        for where, half, length in zip(places, halves, LENGTHS.values(), strict=True)
        if half is not None and len(half.get_secret_value()) != length
    ]
    if odd:
        return f"copy the key again: {' and '.join(odd)}"
    return f"create a new key on numer.ai/account, and write it into {' and '.join(places)}"


def _table(account: Account) -> str:
    """Return the place of an account's slots."""
    return str(place("slots")) if account.name is None else f"[accounts.{account.name}.slots] in bot.toml"


def _how_to_choose(account: Account) -> str:
    where = _table(account)
    return f"set {where}=model=recipe" if where == "BOT_SLOTS" else f'write model = "recipe" below {where}'


def _clock(client: NumeraiClient) -> Iterator[Check]:
    skew_s = (datetime.now(UTC) - client.server_now()).total_seconds()
    if abs(skew_s) > SKEW_S:
        ahead = "ahead of" if skew_s > 0 else "behind"
        yield warning(
            "clock", f"this machine is {abs(skew_s):.0f} s {ahead} Numerai", "start a time service such as chrony"
        )
    else:
        yield ok("clock", f"within {max(1.0, abs(skew_s)):.0f} s of Numerai's")


def _data(settings: Settings, client: NumeraiClient, sound: tuple[str, ...]) -> Iterator[Check]:
    offered = sorted({name.partition("/")[0] for name in client.datasets()}, key=version_order)
    found = pins(settings, sound) if sound and settings.state_dir.is_dir() else ()
    wanted = versions(found) or (settings.data_version,)
    absent = [one for one in wanted if one not in offered]
    for one in absent:
        wrong = BadConfig(f"data version {one} is not offered; there are: {', '.join(offered) or 'none'}")
        trained = [pin.recipe for pin in found if pin.champion == one]
        newest = offered[-1] if offered else "one that is offered"
        fix = f"set {place('data_version')} to {newest}"
        yield failure("data", wrong, f"{fix}, and run `bot retrain`" if trained else fix)
    if absent:
        return
    yield ok("data", f"{' and '.join(wanted)} offered")
    newest = max(wanted, key=version_order)
    newer = [version for version in offered if version_order(version) > version_order(newest)]
    if newer:
        yield note(
            "data",
            f"newer: {', '.join(newer)}",
            f"`bot retrain --data-version {newer[-1]}`: a champion trained on it has to win first, nothing moves by itself",
        )


def _round(settings: Settings, client: NumeraiClient, sound: tuple[str, ...]) -> Iterator[Check]:
    try:
        current = client.current_round()
    except RoundNotOpen as waiting:
        yield ok("round", str(waiting))
        return
    left = in_words(current.seconds_left(client.server_now()))
    yield ok("round", f"{current.number} is open until {local(current.closes_at)}, {left} from now")
    yield from _pay(settings, client.round_with_pay(current.number) or current, sound)


def _pay(settings: Settings, current: Round, sound: tuple[str, ...]) -> Iterator[Check]:
    """Compare the horizons that the round pays for with the target's; its scores have names such as ``corr60``."""
    if not current.payouts:
        yield note("pay", f"round {current.number} has no payout yet")
        return
    formula = " + ".join(f"{one.multiplier:g} x {one.score}" for one in current.payouts)
    horizons = {int(days) for one in current.payouts for days in re.findall(r"(?<!\d)(20|60)(?!\d)", one.score)}
    recipes = [recipe_file.find(name) for name in slot_recipes(settings) if name in sound]
    plans = [resolve_recipe(settings, recipe, data_version=settings.data_version) for recipe in recipes]
    targets = sorted({plan.target for plan in plans})
    unpaid = [target for target in targets if horizons and horizon(target) not in horizons]
    for target in unpaid:
        paid = " and ".join(map(str, sorted(horizons)))
        yield warning(
            "pay",
            f"the round pays {formula}: {paid} days; {target} looks {horizon(target)} days ahead",
            f"set {place('target')}, or the recipe's target, to one that ends in _{max(horizons)}, and `bot retrain`",
        )
    if not unpaid:
        yield ok("pay", f"{formula}; trained on {' and '.join(targets)}")


def _scopes(client: NumeraiClient, name: str, renewal: str) -> Iterator[Check]:
    scopes = client.scopes()
    if not scopes:
        yield failure(name, BadCredentials("the key has no scope, or is not one of this account"), renewal)
        return
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


def _slots(settings: Settings, account: Account, client: NumeraiClient) -> Iterator[Check]:
    name = named("slots", account)
    matched = match_slots(settings, client)
    for wanted, one in matched.items():
        if isinstance(one, BadConfig):
            yield failure(name, one, f"change {wanted} in {_table(account)}".replace(" in [", " below ["))
    slots = [one for one in matched.values() if not isinstance(one, BadConfig)]
    if slots:
        yield ok(name, ", ".join(f"{slot.name} ({slot.recipe})" for slot in slots))
    hosted = client.hosted_models()
    for slot in slots:
        if slot.name in hosted:
            yield failure(
                name,
                BadConfig(
                    f"slot {slot.name} runs the Model Upload {hosted[slot.name].filename}, which blocks submissions by API"
                ),
                "disable the upload on numer.ai/models, or fill another slot",
            )


def storage(settings: Settings, *, call_s: float) -> Iterator[Check]:
    """Yield the checks of :func:`_packs`; a machine may lack the libraries of packs."""
    try:
        yield from _packs(settings, call_s=call_s)
    except ModuleNotFoundError as error:
        yield warning("storage", f"packs need {error.name}, which is not installed", "install numerai-bot[remote]")


def _packs(settings: Settings, *, call_s: float) -> Iterator[Check]:
    """
    Yield the checks of the storage of packs and of the keys that sign and accept them.

    Args:
        settings: The settings.
        call_s: Longest wait for the storage's answer in seconds.
    """
    if settings.signing_key is not None or settings.signing_key_path.is_file():
        where = place("signing_key") if settings.signing_key is not None else f"{settings.state_dir}/signing.key"
        yield from _signing_key(settings, f"correct {where}, or `bot pack --new-key`")
    if settings.artifacts_url is None:
        return
    where = place("artifacts_url")
    if not settings.trusted_keys and not settings.signing_key_path.is_file() and settings.signing_key is None:
        yield warning(
            "storage",
            f"{where} is set, but this machine neither signs packs nor trusts a key, so it publishes and takes none",
            f"write public keys into {place('trusted_keys')}, or make a key with `bot pack --new-key`",
        )
    yield from _storage(settings.artifacts_url.get_secret_value(), call_s, f"correct {where}")


def _signing_key(settings: Settings, fix: str) -> Iterator[Check]:
    from bot.packing.keys import read_key  # noqa: PLC0415 - a library that only packs need

    try:
        read_key(settings.signing_key_path)
    except BotError as error:  # rounds are submitted without it
        yield warning("signing key", str(error), fix)
    else:
        yield ok("signing key", f"{settings.signing_key_path} signs packs")


def _storage(url: str, call_s: float, fix: str) -> Iterator[Check]:
    from bot.packing.storage import Storage  # noqa: PLC0415 - a library that only packs need

    try:
        found = Storage(url, call_s=call_s)
        packs = found.files()
    except StorageUnavailable as error:  # rounds are submitted without it
        yield warning("storage", str(error), f"check {place('artifacts_url')}, the storage and its credentials")
    except BotError as error:
        yield warning("storage", str(error), fix)
    else:
        newest = f", newest {packs[0].name}" if packs else ""
        yield ok("storage", f"{found.shown}: {len(packs)} packs{newest}")
