"""One tool of `bot mcp`: its schema, its check of arguments, and how it runs a command of the bot."""

import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import anyio
import jsonschema

from bot.errors import BadConfig, BotError
from bot.system.child_environment import ISOLATED, child_environment

Json = dict[str, Any]
Arguments = Mapping[str, Any]

LARGEST = 2_000_000
"""Bytes of a command's output that are handed on; an agent cannot read more."""

AT_ONCE = 3
"""Commands that run at the same time; each loads its own libraries."""

_running = anyio.CapacityLimiter(AT_ONCE)

NAME = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", "maxLength": 64}
"""Schema of the name of a recipe, a slot or an account. It never begins with a dash, so it is no option of a command."""

ROUND = {"type": "integer", "minimum": 1, "maximum": 999_999}
"""Schema of the number of a round."""

Secrets = Literal["none", "key", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """
    One tool.

    Attributes:
        name: Name of the tool.
        about: Use of the tool, in a sentence or two.
        example: Arguments of an example.
        answer: JSON that :attr:`run` returns, described in a line.
        run: Returns the answer to checked arguments.
        parameters: JSON schema of each argument.
        required: Arguments that must be given.
        changes: Whether it changes something here; it is offered with `--allow-actions` only.
        asks_numerai: Whether it uses the network.
    """

    name: str
    about: str
    example: Arguments
    answer: str
    run: Callable[[Arguments], Awaitable[Json]]
    parameters: Mapping[str, Json] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    changes: bool = False
    asks_numerai: bool = False

    @property
    def schema(self) -> Json:
        """Return the JSON schema of the arguments."""
        return {
            "type": "object",
            "properties": dict(self.parameters),
            "required": list(self.required),
            "additionalProperties": False,
            "examples": [dict(self.example)],
        }

    @property
    def description(self) -> str:
        """Return the description, with the answer and the example."""
        return f"{self.about} Returns {self.answer}. Example: {self.name}({json.dumps(self.example)})"

    async def call(self, arguments: Arguments) -> Json:
        """
        Check arguments and return the answer.

        Raises:
            BadConfig: The arguments do not fit the schema.
            BotError: The command failed.
        """
        checked = jsonschema.Draft202012Validator(self.schema)
        wrong = next(iter(checked.iter_errors(arguments)), None)
        if wrong is not None:
            place = ".".join(map(str, wrong.absolute_path))[:64] or "arguments"
            # The library's own message repeats the value, which may be long.
            limit = json.dumps(wrong.validator_value)[:100]
            raise BadConfig(f"{self.name}: {place} must fit {wrong.validator} {limit}; see the schema of the tool")
        return await self.run(arguments)


class CommandError(BotError):
    """A command of the bot ended with an error; the exit code is that of the command."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """
    A command of the bot that has ended.

    Attributes:
        exit_code: Exit code.
        output: Text of standard output.
        errors: Lines of standard error that are no log.
    """

    exit_code: int
    output: str
    errors: str

    def json(self) -> Any:  # noqa: ANN401 - any JSON
        """
        Return the output as JSON.

        Raises:
            CommandError: The command failed, or its output is no JSON.
        """
        if self.exit_code:
            raise CommandError(self._reason or f"the command ended with exit code {self.exit_code}", self.exit_code)
        return self.object()

    def object(self) -> Any:  # noqa: ANN401 - any JSON
        """
        Return the output as JSON, also that of a command whose exit code is a result.

        Raises:
            CommandError: It is no JSON.
        """
        try:
            return json.loads(self.output)
        except ValueError:
            raise CommandError(self._reason or "the command returned no JSON", self.exit_code or 1) from None

    @property
    def _reason(self) -> str:
        """Return the messages of the errors that the output names; without any, the lines of standard error."""
        try:
            answer = json.loads(self.output)
        except ValueError:
            return self.errors
        found = answer if isinstance(answer, dict) else {}
        errors = [found["error"]] if "error" in found else found.get("errors", ())
        return "\n".join(one["message"] for one in errors) or self.errors


async def bot(*words: str, limit_s: float = 60.0, secrets: Secrets = "none") -> Ended:
    """
    Run a command of the bot in a process of its own and return how it ended.

    Args:
        words: Arguments after ``bot``.
        limit_s: Seconds after which it is killed.
        secrets: Secrets of the environment that it gets.

    Raises:
        CommandError: It ran too long, or its output is too large.
    """
    environment = dict(os.environ) if secrets == "all" else child_environment(with_key=secrets == "key")
    async with _running:
        try:
            with anyio.fail_after(limit_s):
                done = await anyio.run_process(
                    [*ISOLATED, "-m", "bot", *words],
                    input=b"",
                    check=False,
                    env={**environment, "BOT_LOG_FORMAT": "json"},
                    start_new_session=True,
                )
        except TimeoutError:
            raise CommandError(f"bot {words[0]} took longer than {limit_s:g} s and was stopped", 75) from None
    if len(done.stdout) > LARGEST:
        raise CommandError(f"the answer has {len(done.stdout):,} bytes, more than {LARGEST:,}; ask for less", 65)
    return Ended(
        exit_code=done.returncode,
        output=done.stdout.decode("utf-8", "replace"),
        errors="\n".join(_plain_lines(done.stderr.decode("utf-8", "replace").splitlines())),
    )


def command(
    *words: str, options: Mapping[str, str] | None = None, limit_s: float = 60.0, secrets: Secrets = "none"
) -> Callable[[Arguments], Awaitable[Json]]:
    """
    Return a tool's function that runs a command and returns its JSON.

    Args:
        words: Arguments after ``bot``.
        options: Option of the command for an argument of the tool.
        limit_s: Seconds after which it is killed.
        secrets: Secrets of the environment that it gets.
    """

    async def run(arguments: Arguments) -> Json:
        given = [word for name in arguments for word in ((options or {})[name], str(arguments[name]))]
        answer = (await bot(*words, *given, limit_s=limit_s, secrets=secrets)).json()
        return answer if isinstance(answer, dict) else {"answer": answer}

    return run


def _plain_lines(lines: Sequence[str]) -> list[str]:
    """Return the last lines of standard error that a person is meant to read: not the log."""
    shown = [line.removeprefix("error: ")[:500] for line in lines if line.strip() and not line.startswith("{")]
    return shown[-20:]
