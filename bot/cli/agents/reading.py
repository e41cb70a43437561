"""The tools of `bot mcp` that read: rounds, scores, recipes, comparisons, plans, checks and logs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio.to_thread

from bot.cli.agents.tool import NAME, ROUND, Arguments, Json, Tool, bot, command
from bot.cli.paths import state_paths
from bot.errors import BadConfig
from bot.record.ledger import rounds_folder
from bot.research.kept_comparisons import kept_comparisons

LEVELS = ("debug", "info", "warning", "error", "critical")
MOST_LINES = 500
TAIL_BYTES = 4_000_000
"""Bytes of the end of a log that are read."""


async def _round(arguments: Arguments) -> Json:
    answer: Json = (await bot("status", "--json", "--", str(int(arguments["number"])))).json()
    return answer


async def _recipes(arguments: Arguments) -> Json:
    if name := arguments.get("name"):
        shown = await bot("recipes", "show", "--", name)
        if shown.exit_code:
            shown.json()
        return {"name": name, "toml": shown.output}
    answer: Json = (await bot("recipes", "--json")).json()
    return answer


async def _scores(arguments: Arguments) -> Json:
    if not state_paths().ledger.is_file():  # the command would make one
        return {"rounds": [], "artifacts": [], "notes": [], "exported_to": None}
    account = ("--account", arguments["account"]) if "account" in arguments else ()
    answer: Json = (await bot("scores", "--offline", "--json", *account)).json()
    return answer


async def _doctor(_arguments: Arguments) -> Json:
    # The checks include the addresses of alerts, so the command gets every secret that the operator's own run has.
    done = await bot("doctor", "--json", limit_s=300.0, secrets="all")
    answer: Json = done.object()
    return answer


async def _compare(arguments: Arguments) -> Json:
    return await anyio.to_thread.run_sync(lambda: comparisons(arguments.get("recipes", ())))


async def _logs(arguments: Arguments) -> Json:
    number, least = arguments.get("round"), str(arguments.get("level", "info"))
    limit = int(arguments.get("limit", 100))
    return await anyio.to_thread.run_sync(lambda: log_lines(number and int(number), least, limit))


def comparisons(recipes: Sequence[str]) -> Json:
    """
    Return the finished comparisons of recipes that hold all of *recipes*, newest first.

    Raises:
        BadConfig: There is none.
    """
    found = [one for one in kept_comparisons(state_paths().state_dir) if set(recipes) <= {*one["recipes"]}]
    if not found:
        wanted = " ".join(recipes) or "RECIPE RECIPE"
        raise BadConfig(f"no finished comparison of {wanted}; `bot evaluate compare {wanted}` makes one, in hours")
    return {"comparisons": found}


def log_lines(number: int | None, least: str, limit: int) -> Json:
    """
    Return the newest log lines of a round, oldest first.

    Args:
        number: The round; ``None`` takes the newest one that has a log.
        least: Lowest level of the lines.
        limit: Most lines.

    Raises:
        BadConfig: The round has no log.
    """
    folder = rounds_folder(state_paths().ledger)
    logged = sorted(int(path.parent.name) for path in folder.glob("*/log.jsonl") if path.parent.name.isdigit())
    chosen = logged[-1] if number is None and logged else number
    if chosen not in logged:
        known = ", ".join(map(str, logged[-5:])) or "none"
        raise BadConfig(
            "no round has a log here" if number is None else f"round {number} has no log here; newest with one: {known}"
        )
    levels = LEVELS[LEVELS.index(least) :]
    lines = [one for one in _tail(folder / str(chosen) / "log.jsonl") if one.get("level") in levels]
    return {"round": chosen, "left_out": max(len(lines) - limit, 0), "lines": lines[-limit:]}


def _tail(path: Path) -> list[dict[str, Any]]:
    """Return the lines at the end of a log; one that a crash or the limit cut off is left out."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - TAIL_BYTES, 0))
        content = file.read(TAIL_BYTES)
    found = []
    for line in content.decode("utf-8", "replace").splitlines():
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if isinstance(one, dict):
            found.append(one)
    return found


TOOLS = (
    Tool(
        name="status",
        about="Show the newest rounds of every slot, champions, jobs and open problems.",
        example={},
        answer="the JSON of `bot status --json`",
        run=command("status", "--json"),
    ),
    Tool(
        name="round",
        about="Show everything that is kept of one round: gates with reasons, times, events and log.",
        example={"number": 1405},
        answer="the JSON of `bot status ROUND --json`",
        parameters={"number": {**ROUND, "description": "Number of the round."}},
        required=("number",),
        run=_round,
    ),
    Tool(
        name="scores",
        about="Show the live scores and payouts that were fetched, and the CORR that was expected of each artifact.",
        example={},
        answer="the JSON of `bot scores --offline --json`",
        parameters={"account": {**NAME, "description": "One of several accounts in bot.toml."}},
        run=_scores,
    ),
    Tool(
        name="recipes",
        about="List recipes with members, memory, time of the last training and champion; or show one with every value.",
        example={"name": "standard"},
        answer="`recipes`, the JSON of `bot recipes --json`; with a name: `toml`, the complete recipe",
        parameters={"name": {**NAME, "description": "Show this recipe."}},
        run=_recipes,
    ),
    Tool(
        name="compare",
        about="Show finished comparisons of recipes: scores, and paired differences with their errors. Trains nothing.",
        example={"recipes": ["standard", "trees"]},
        answer="`comparisons`, newest first: `rows`, `differences` (mean, error, t, detectable) and `alike`",
        parameters={
            "recipes": {"type": "array", "items": NAME, "maxItems": 20, "description": "Recipes that must be in it."}
        },
        run=_compare,
    ),
    Tool(
        name="plan",
        about="Show the stages of the next retrain with rows, memory, disk and time on this machine. Takes a minute at most.",
        example={"recipe": "standard"},
        answer="the JSON of `bot retrain --plan --json`",
        parameters={"recipe": {**NAME, "description": "Recipe; default: every recipe in use."}},
        run=command("retrain", "--plan", "--json", options={"recipe": "--recipe"}, limit_s=300.0),
        asks_numerai=True,
    ),
    Tool(
        name="doctor",
        about="Check everything that a round needs: settings, disk, champion, key, Numerai.",
        example={},
        answer="the JSON of `bot doctor --json`: `summary`, `exit_code` and `checks` (name, verdict, what, fix)",
        run=_doctor,
        asks_numerai=True,
    ),
    Tool(
        name="logs",
        about="Show the newest log lines of a round.",
        example={"level": "warning", "limit": 20},
        answer="`round`, `lines` oldest first, and `left_out`, the number of older lines that were left out",
        parameters={
            "round": {**ROUND, "description": "Number of the round; default: the newest with a log."},
            "level": {"type": "string", "enum": list(LEVELS), "description": "Lowest level; default: info."},
            "limit": {"type": "integer", "minimum": 1, "maximum": MOST_LINES, "description": "Lines; default: 100."},
        },
        run=_logs,
    ),
)
"""Tools that read, in the order in which they are listed."""
