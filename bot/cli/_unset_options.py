"""
Options that were not given are not converted.

typer 0.29 imports pydantic to turn ``None`` into ``None`` for every option that was not given. That import takes longer than
all of `bot status`, and `bot health` runs twice a minute in every container.
"""

from collections.abc import Callable

from typer import Context
from typer.core import TyperArgument, TyperOption

Parameter = TyperOption | TyperArgument


def leave_unset_options() -> None:
    """Let options and arguments that were not given keep ``None``; values that were given are converted as before."""
    for kind in (TyperOption, TyperArgument):
        kind.process_value = _only_if_given(kind.process_value)  # type: ignore[method-assign]


def _only_if_given(convert: Callable[..., object]) -> Callable[..., object]:
    def process_value(self: Parameter, ctx: Context, value: object) -> object:
        if value is None and not (self.required or self.multiple or self.nargs == -1):
            return None if self.callback is None else self.callback(ctx, self, None)
        return convert(self, ctx, value)

    return process_value
