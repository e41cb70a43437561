"""The tools of `bot mcp` that change something here; none uploads a submission or changes a champion itself."""

from bot.cli.agents.tool import NAME, Arguments, Json, Tool, bot

DRY_RUN_S = 900.0
"""Longest dry run, in seconds."""


async def _submit_dry_run(arguments: Arguments) -> Json:
    given = [word for name in ("slot", "account") if name in arguments for word in (f"--{name}", arguments[name])]
    done = await bot("submit", "--dry-run", *given, limit_s=DRY_RUN_S, secrets="key")
    return {"exit_code": done.exit_code, "output": done.output.splitlines(), "errors": done.errors.splitlines()}


TOOLS = (
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
