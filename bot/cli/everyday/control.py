"""`bot pause`, `bot resume` and `bot retry`: orders to a running bot, written into the ledger of the mode."""

from bot.cli.answer import Answer
from bot.cli.paths import state_paths
from bot.record.orders import Done, Orders


def pause(slot: str | None, *, end: str | None) -> Answer:
    """
    Pause a slot, or every slot for ``None``; return what was done.

    Raises:
        BotError: As :meth:`bot.record.orders.Orders.pause`.
    """
    return _answer(_orders().pause(slot, end=end))


def resume(slot: str | None) -> Answer:
    """
    End the pause of a slot, or every pause for ``None``; return what was done.

    Raises:
        BotError: As :meth:`bot.record.orders.Orders.resume`.
    """
    return _answer(_orders().resume(slot))


def retry() -> Answer:
    """
    Ask the running bot for an attempt at the open round now; return what will happen.

    Raises:
        BotError: As :meth:`bot.record.orders.Orders.retry`.
    """
    return _answer(_orders().retry())


def _orders() -> Orders:
    paths = state_paths()
    return Orders(state_dir=paths.state_dir, ledger_path=paths.ledger, mode=paths.mode, slots=tuple(paths.slots))


def _answer(done: Done) -> Answer:
    return Answer(lines=done.lines, content=done.content)
