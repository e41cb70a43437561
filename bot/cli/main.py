"""Entry point of `bot`: run a command and turn errors into one line and an exit code."""

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import typer

from bot.cli.answer import error_about, error_content, to_json
from bot.cli.app import app
from bot.errors import BotError
from bot.system import redaction
from bot.system.configuration.secret_files import secrets_of_environment
from bot.system.cores import limit_threads
from bot.system.files import state_error
from bot.system.output import guard_output


def main() -> None:
    """Run the command line; print errors of the bot as one line on standard error and exit with their code."""
    guard_output()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it was ignored, the kernel would keep no exit code of a child
    limit_threads(os.environ)  # before any library with threads is loaded, and for every child process
    redaction.hide(secrets_of_environment())
    # Libraries start interpreters too, such as the compiler of torch: they import nothing from the working folder either.
    os.environ["PYTHONSAFEPATH"] = "1"
    as_json = "--json" in sys.argv
    try:
        code = app(standalone_mode=not as_json)
        sys.exit(code if isinstance(code, int) else 0)
    except BotError as error:
        _end(error)
    except OSError as error:
        if error.filename is None:  # not a refusal of a file
            raise
        _end(state_error(Path(os.fsdecode(error.filename)), error))
    except KeyboardInterrupt:
        sys.exit(130)
    except typer.Abort as error:  # without --json, typer ends with the same
        typer.echo(to_json(error_content(error)))
        typer.echo("Aborted!", err=True)
        sys.exit(1)
    except Exception as error:
        if as_json:
            typer.echo(to_json(error_content(error)))
        if not hasattr(error, "show"):  # the method of a usage error, whose class typer keeps to itself
            raise
        error.show()
        sys.exit(error_about(error)["exit_code"])


def _end(error: BotError) -> NoReturn:
    """Print an error as one line on standard error, with ``--json`` also as JSON on standard output; exit with its code."""
    if "--json" in sys.argv:
        typer.echo(to_json(error_content(error)))
    typer.echo(f"error: {error}{'; ' if error.advice else ''}{error.advice}", err=True)
    sys.exit(error.exit_code)
