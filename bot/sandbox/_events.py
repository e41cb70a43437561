"""Events of the tournament: rounds that move, data that come late, keys that are revoked."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from bot.sandbox.faults import Fault
from bot.sandbox.schedule import Window
from bot.sandbox.tournament import Tournament
from bot.sandbox.world.upgrade import NEXT

LASTING = (
    "data_late", "data_stale", "schema_change", "slot_disabled", "key_revoked", "version_removed", "pickle_hangs",
    "pickle_fails", "hosted_fails", "hosted_silent",
)  # fmt: skip
"""Kinds of events that change the tournament for ``Fault.seconds``."""


def cause(tournament: Tournament, fault: Fault) -> None:
    """Apply an event to the tournament now."""
    tournament.note("event", kind=fault.kind, seconds=fault.seconds, message=fault.message)
    if fault.kind in LASTING:
        until = tournament.clock.now() + timedelta(seconds=fault.seconds)
        tournament.conditions[fault.kind] = (until, fault.message)
        return
    _EVENTS[fault.kind](tournament, fault)


def _newest(tournament: Tournament) -> Window:
    """Return the round that is open, else the last one, else the first."""
    number = tournament.schedule.opened(tournament.clock.now())
    return tournament.upcoming() if number is None else tournament.schedule.round(number)


def _rollover(tournament: Tournament, _: Fault) -> None:
    tournament.clock.set(tournament.upcoming().opens_at + timedelta(seconds=1))


def _close(tournament: Tournament, _: Fault) -> None:
    tournament.clock.set(_newest(tournament).closes_at + timedelta(seconds=1))


def _close_early(tournament: Tournament, _: Fault) -> None:
    current = _newest(tournament)
    _move(tournament, replace(current, closes_at=min(current.closes_at, tournament.clock.now())))


def _extend(tournament: Tournament, fault: Fault) -> None:
    current = _newest(tournament)
    _move(tournament, replace(current, closes_at=current.closes_at + timedelta(seconds=fault.seconds)))


def _open_late(tournament: Tournament, fault: Fault) -> None:
    coming = tournament.upcoming()
    late = timedelta(seconds=fault.seconds)
    _move(tournament, replace(coming, opens_at=coming.opens_at + late, closes_at=coming.closes_at + late))


def _move(tournament: Tournament, window: Window) -> None:
    moved = {**tournament.schedule.moved, window.number: window}
    tournament.schedule = replace(tournament.schedule, moved=moved)


def _skew(tournament: Tournament, fault: Fault) -> None:
    tournament.skew = timedelta(seconds=fault.seconds)


def _foreign(tournament: Tournament, _: Fault) -> None:
    current = tournament.current()
    if current is None:
        return
    ids = tournament.live_ids(current.number)
    rows = [f"{identity},{(row + 1) / (len(ids) + 1):.9f}" for row, identity in enumerate(ids)]
    slot = next(iter(tournament.accounts[0].models))
    tournament.place(slot, filename="by-hand.csv", content=("\n".join(["id,prediction", *rows]) + "\n").encode())


def _replace_pickle(tournament: Tournament, _: Fault) -> None:
    tournament.host(next(iter(tournament.accounts[0].models)))


def _add_version(tournament: Tournament, _: Fault) -> None:
    tournament.added.add(NEXT)


def _rename_model(tournament: Tournament, fault: Fault) -> None:
    account = tournament.accounts[0]
    (_, identity), *others = account.models.items()
    renamed = replace(account, models={fault.message: identity, **dict(others)})
    tournament.accounts = (renamed, *tournament.accounts[1:])


def _delete_model(tournament: Tournament, _: Fault) -> None:
    account = tournament.accounts[0]
    left = dict(list(account.models.items())[1:])
    tournament.accounts = (replace(account, models=left), *tournament.accounts[1:])


_EVENTS: dict[str, Callable[[Tournament, Fault], None]] = {
    "rollover": _rollover,
    "close": _close,
    "close_early": _close_early,
    "extend": _extend,
    "open_late": _open_late,
    "clock_skew": _skew,
    "foreign_submission": _foreign,
    "model_renamed": _rename_model,
    "model_deleted": _delete_model,
    "version_added": _add_version,
    "pickle_replaced": _replace_pickle,
}
