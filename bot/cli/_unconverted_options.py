"""
Options that were not given, and texts, are not converted.

typer 0.29 imports pydantic to turn ``None`` into ``None`` for every option that was not given, and a text into the same text.
That import takes longer than all of `bot status`, and `bot health` runs twice a minute in every container.
"""

from collections.abc import Callable

from typer import Context
from typer.core import TyperArgument, TyperOption

Parameter = TyperOption | TyperArgument


def leave_unconverted_options() -> None:
    """Let options and arguments that were not given keep ``None``, and texts their text; others are converted as before."""
    for kind in (TyperOption, TyperArgument):
        kind.process_value = _unless_plain(kind.process_value)  # type: ignore[method-assign]


def _unless_plain(convert: Callable[..., object]) -> Callable[..., object]:
    def process_value(self: Parameter, ctx: Context, value: object) -> object:
        is_unset = value is None and not (self.required or self.multiple or self.nargs == -1)
        is_text = isinstance(value, str) and self.type_descriptor.annotation in (str, str | None)
        if is_unset or is_text:
            return value if self.callback is None else self.callback(ctx, self, value)
        return convert(self, ctx, value)

    return process_value
