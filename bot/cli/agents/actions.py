"""
The tools of `bot mcp` that change something here.

None uploads a submission or changes a champion itself. `retry` and `resume` let a running bot go on, in its own mode.
"""

from bot.cli.agents.tool import NAME, Arguments, Json, Tool, bot, command

DRY_RUN_S = 900.0
"""Longest dry run, in seconds."""


async def _submit_dry_run(arguments: Arguments) -> Json:
    given = [word for name in ("slot", "account") if name in arguments for word in (f"--{name}", arguments[name])]
    done = await bot("submit", "--dry-run", *given, limit_s=DRY_RUN_S, secrets="key")
    return {"exit_code": done.exit_code, "output": done.output.splitlines(), "errors": done.errors.splitlines()}


async def _pause(arguments: Arguments) -> Json:
    until = ("--until", arguments["until"]) if "until" in arguments else ()
    slot = ("--", arguments["slot"]) if "slot" in arguments else ()
    answer: Json = (await bot("pause", "--json", *until, *slot)).json()
    return answer


async def _resume(arguments: Arguments) -> Json:
    slot = ("--", arguments["slot"]) if "slot" in arguments else ()
    answer: Json = (await bot("resume", "--json", *slot)).json()
    return answer


_SLOT = {**NAME, "description": "Name of a slot; default: every slot."}
_UNTIL = {
    "type": "string",
    "pattern": "^[0-9][0-9T: -]{0,18}[hdw]?$",
    "maxLength": 20,
    "description": "End of the pause: 2026-12-24, 2026-12-24 18:00, 6h, 2d or 1w; default: until resume.",
}

TOOLS = (
    Tool(
        name="pause",
        about="Upload nothing for a slot, or for every slot, until a time or until `resume`.",
        example={"slot": "my_model", "until": "6h"},
        answer="the JSON of `bot pause --json`: `paused`, every pause that lasts",
        parameters={"slot": _SLOT, "until": _UNTIL},
        run=_pause,
        changes=True,
    ),
    Tool(
        name="resume",
        about="End a pause, or every pause. A running bot then fills the open round, in its own mode.",
        example={"slot": "my_model"},
        answer="the JSON of `bot resume --json`: `resumed` and `paused`",
        parameters={"slot": _SLOT},
        run=_resume,
        changes=True,
    ),
    Tool(
        name="retry",
        about="Let the running bot try the open round again now, in its own mode; a confirmed slot stays as it is.",
        example={},
        answer="the JSON of `bot retry --json`: `round` and `asked_at`",
        run=command("retry", "--json"),
        changes=True,
    ),
    Tool(
        name="submit_dry_run",
        about="Do everything of a submission of the open round but the upload: download, score, neutralize, gates.",
        example={"slot": "my_model"},
        answer="`exit_code` (0 done, 65 refused, 75 later, 78 a person is needed), `output` and `errors` in lines",
        parameters={
            "slot": {**NAME, "description": "One of the account's models; default: every configured slot."},
            "account": {**NAME, "description": "One of several accounts in bot.toml."},
        },
        run=_submit_dry_run,
        changes=True,
        asks_numerai=True,
    ),
)
"""Tools that change something, in the order in which they are listed."""
