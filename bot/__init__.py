"""
A Numerai tournament bot that never misses a round and never uploads a wrong file.

``open_state`` is the interface for notebooks and programs; importing this package loads nothing else.
"""

TYPE_CHECKING = False  # type checkers take the name for true; the module typing would take milliseconds
if TYPE_CHECKING:
    from bot.state import State, open_state

__all__ = ["State", "__version__", "open_state"]
__version__ = "1.0.0"


def __getattr__(name: str) -> object:
    """Load the interface when it is first asked for: every command imports this package."""
    if name in ("State", "open_state"):
        import bot.state  # noqa: PLC0415 - see above

        return getattr(bot.state, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
