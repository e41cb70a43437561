"""Build the parts of `bot run` from the settings. Nothing here loads a library that scores or trains."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime
from pathlib import Path

import structlog

from bot import assembly
from bot.daemon._accounts import AccountState
from bot.daemon._jobs import RETRY_S, Job, JobSchedule
from bot.daemon._loop import Daemon
from bot.daemon._notifier import Notifier
from bot.daemon.hooks import CONFIRMED, MISSED, PROMOTED, Hooks
from bot.daemon.process import Service, Trainer
from bot.errors import BotError
from bot.record.heartbeat import TRAINER, Heartbeat
from bot.record.orders import Orders
from bot.record.outbox import Outbox
from bot.settings import Account, Settings, interval_s, load_settings
from bot.system.child_process import ChildProcess
from bot.tournament.client import NumeraiClient
from bot.tournament.rounds import Round
from bot.tournament.transport import Transport

TRAINING = ("retrain", "unpack", "sync")
"""Jobs of `bot run --trainer`. Beside it, the daemon runs with BOT_RETRAIN=off, BOT_UNPACK=off and BOT_SYNC=off."""

WITH_KEY, WITH_STORAGE = ("scores",), ("retrain", "unpack")
"""Jobs that get the API key, and jobs that get the URL of the storage of packs."""

CONNECT_S, READ_S, EXCHANGE_S = 5.0, 10.0, 15.0
"""Time limits in seconds of the loop's own requests. They are short, because another look follows soon."""

REPORT_AGAIN_S = 30.0
"""Seconds after which a report of the pages is tried again that the ledger did not take."""

log = structlog.get_logger()


def open_service(settings: Settings) -> Service:
    """Return the parts of `bot run`, not yet started."""
    _end_alerts_of_removed(settings)
    heartbeat = Heartbeat(folder=settings.state_dir, mode=settings.mode)
    notifier = Notifier(
        ledger_path=settings.ledger_path,
        urls=tuple(settings.alert_urls.get_secret_value().split()) if settings.alert_urls else (),
        ping_url=settings.ping_url.get_secret_value() if settings.ping_url else None,
        logging=settings.logging,
    )
    commands = {CONFIRMED: settings.on_confirmed, MISSED: settings.on_missed, PROMOTED: settings.on_promoted}
    hooks = Hooks(
        commands={event: command for event, command in commands.items() if command},
        ledger_path=settings.ledger_path,
        state_dir=settings.state_dir,
        mode=settings.mode,
    )
    loop = Daemon(
        open_tournament=lambda: NumeraiClient(
            api_url=settings.api_url,
            public_id=None,
            secret_key=None,
            transport=_transport(),
        ),
        accounts=[_account_state(account, _fixed(settings)) for account in settings.accounts_in_use],
        ledger=assembly.open_ledger(settings),
        heartbeat=heartbeat,
        outbox=Outbox(settings.ledger_path),
        on_settled=notifier.ping if settings.mode == "live" else _nothing,
        happened=hooks.happened,
        promoted_ns=assembly.open_artifacts(settings).promoted_ns,
        tick_s=settings.tick_s,
        trains=interval_s(settings.retrain) is not None,
        submits_late=settings.late_policy == "queue",
    )
    schedule = JobSchedule(_jobs(settings), done=loop.try_again)
    return Service(loop=loop, schedule=schedule, notifier=notifier, hooks=hooks, web=_web(settings, loop))


def open_trainer(settings: Settings) -> Trainer:
    """Return the parts of `bot run --trainer`, not yet started."""
    jobs = [job for job in _jobs(settings) if job.name in TRAINING]
    return Trainer(schedule=JobSchedule(jobs), heartbeat=Heartbeat(folder=settings.state_dir, name=TRAINER))


def _transport() -> Transport:
    return Transport(connect_s=CONNECT_S, read_s=READ_S, exchange_s=EXCHANGE_S)


def _end_alerts_of_removed(settings: Settings) -> None:
    """End the alerts about pages, slots and recipes that the settings no longer have: nothing else would end them."""
    slots, recipes = settings.slot_names, assembly.recipes_in_use(settings)
    with closing(Outbox(settings.ledger_path)) as outbox:
        for name in outbox.open_alerts():
            about, _, of = name.partition(" ")
            removed = {
                "web": settings.http_port is None,
                "selected": bool(slots) and of not in slots,
                "diagnostics": of not in recipes,
            }
            if removed.get(about, False):
                outbox.resolve(name, "the settings no longer have it", at=datetime.now(UTC))


def _fixed(settings: Settings) -> Mapping[str, str]:
    """
    Return variables with which every command uses the state and the tournament of this process.

    Commands read ``bot.toml`` anew. A changed mode would have them fill rounds in another ledger than the one that the loop
    looks at: these settings count from the next start on.
    """
    return {"BOT_MODE": settings.mode, "BOT_STATE_DIR": str(settings.state_dir), "BOT_API_URL": settings.api_url}


def _account_state(account: Account, fixed: Mapping[str, str]) -> AccountState:
    """Return an account that reads its key anew for every round, so that a rotated key needs no restart."""

    def find_slots() -> tuple[str, ...]:
        current = load_settings().of_account(account.name)
        return tuple(current.slots) or tuple(
            slot.name for slot in assembly.find_slots(current, assembly.open_client(current, _transport()))
        )

    def attempt(round_: Round, limit_s: float, trigger: str | None) -> ChildProcess:
        command = ["submit", "--round", str(round_.number), *account.options]
        return ChildProcess(
            command=command,
            limit_s=limit_s,
            with_key=True,
            environment={**fixed, **({"TRIGGER_ID": trigger} if trigger else {})},
        )

    return AccountState(find_slots=find_slots, attempt=attempt)


def _jobs(settings: Settings) -> tuple[Job, ...]:
    """Return the jobs in the order in which they run. Retrain comes first, because it also syncs."""
    recipes = assembly.recipes_in_use(settings)
    accounts = tuple(account.options for account in settings.accounts_in_use)
    retrain = tuple(("retrain", "--recipe", name) for name in recipes)
    receives = settings.artifacts_url is not None and bool(settings.trusted_keys)
    planned = (
        ("retrain", retrain, settings.retrain),
        ("unpack", (("unpack", "--latest"),), settings.unpack if receives else "off"),
        ("sync", (("sync",),), settings.sync),
        ("backup", (("backup",),), settings.backup),
        ("scores", tuple(("scores", *account) for account in accounts), settings.scores),
    )
    jobs = [
        Job(
            name=name,
            commands=commands,
            ledger_path=settings.ledger_path,
            every_s=every_s,
            with_key=name in WITH_KEY,
            with_storage=name in WITH_STORAGE,
            environment=_fixed(settings),
        )
        for name, commands, schedule in planned
        if (every_s := interval_s(schedule)) is not None
    ]
    if settings.diagnostics == "on" and settings.mode == "live":
        diagnose = Job(
            name="diagnostics",
            commands=tuple(("diagnose", *account) for account in accounts),
            ledger_path=settings.ledger_path,
            every_s=RETRY_S,
            with_key=True,
            environment=_fixed(settings),
            wanted=lambda: bool(assembly.undiagnosed(settings, recipes)),
        )
        jobs.append(diagnose)
    return tuple(jobs)


def _web(settings: Settings, loop: Daemon) -> AbstractContextManager[object] | None:
    if settings.http_port is None:
        return None
    # Only here, because a daemon without pages needs no web server in its memory.
    from bot.web.pages import Pages  # noqa: PLC0415
    from bot.web.prometheus import Metrics  # noqa: PLC0415
    from bot.web.server import Web  # noqa: PLC0415

    metrics = Metrics(settings.ledger_path, settings.state_dir, loop.heartbeat)
    slots = tuple(dict.fromkeys(slot for account in settings.accounts_in_use for slot in account.slots))
    control_token = settings.control_token.get_secret_value() if settings.control_token else None
    pages = Pages(
        settings.state_dir,
        settings.ledger_path,
        metrics.problems,
        control=slots if control_token else None,
        slots=_slot_names,
    )
    orders = Orders(state_dir=settings.state_dir, ledger_path=settings.ledger_path, mode=settings.mode, slots=slots)

    def hook(trigger: str | None) -> None:
        for account in loop.accounts:
            account.trigger = trigger
        loop.wake.set()

    return Web(
        host=settings.http_host,
        port=settings.http_port,
        pages={
            "/": pages.now,
            "/live": pages.live,
            "/models": pages.models,
            "/round/": pages.round,
            "/report/": pages.report,
            "/compare": pages.compare,
            "/compare/": pages.compare,
            "/compare/{first}/{second}": pages.compare,
            "/comparison/": pages.comparison,
            "/healthz": metrics.healthz,
            "/metrics": metrics.page,
        },
        hosts=settings.http_hosts.split(),
        hook=hook,
        token=settings.webhook_token.get_secret_value() if settings.webhook_token else None,
        order=lambda name, fields: _follow(orders, loop, name, fields),
        control_token=control_token,
        report=_WebAlert(settings.ledger_path),
    )


def _slot_names() -> frozenset[str]:
    """Return the slots that the settings name now: a mistyped one may have been corrected since the start."""
    try:
        return load_settings().slot_names
    except BotError:  # the next attempt reports it
        return frozenset()


def _follow(orders: Orders, loop: Daemon, name: str, fields: Mapping[str, str]) -> Sequence[str]:
    """Carry out an order of the page Now as the command of the same name does, and wake the loop."""
    slot, end = fields.get("slot") or None, fields.get("until", "").strip() or None
    do = {"pause": lambda: orders.pause(slot, end=end), "resume": lambda: orders.resume(slot), "retry": orders.retry}
    done = do[name]()
    log.info("web.order", order=name, slot=slot or "")
    loop.wake.set()
    return done.lines


class _WebAlert:
    """
    The alert of pages that cannot be served. It is called in the server's thread, and tries again while the ledger is busy.

    Args:
        ledger_path: Database of the outbox.
    """

    def __init__(self, ledger_path: Path) -> None:
        self._path = ledger_path
        self._reason: str | None = None

    def __call__(self, reason: str | None) -> None:
        """Open the alert with the reason, or close it with ``None``."""
        self._reason = reason
        self._write()

    def _write(self) -> None:
        now = datetime.now(UTC)
        try:
            with closing(Outbox(self._path)) as outbox:
                if self._reason is None:
                    outbox.resolve("web", "the pages are served", at=now)
                else:
                    outbox.alert("web", "the pages cannot be served", f"{self._reason}; rounds go on", at=now)
        except BotError as error:
            log.warning("web.unreported", reason=str(error))
            again = threading.Timer(REPORT_AGAIN_S, self._write)
            again.daemon = True
            again.start()


def _nothing() -> None:
    """Do nothing after a round that was only rehearsed."""
