"""`bot mcp` as a child process, driven by the client of the official library and by raw lines."""

import json
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import jsonschema
import pytest
from typer.main import get_command

from bot.cli.agents import actions, reading
from bot.cli.app import app
from bot.research.experiment import ExperimentResults
from bot.sandbox.tournament import DEMO_ACCOUNT
from tests.harness.installation import FIRST_ROUND, SLOT, Installation

mcp = pytest.importorskip("mcp")

ROOT = str(Path(__file__).resolve().parents[2])

TOOLS = {one.name: one for one in (*reading.TOOLS, *actions.TOOLS)}
ROW = {"means": {"CORR": 0.02}, "sharpe": 1.0, "drawdown": 0.1, "alike": 0.5, "scatter": None, "seconds": 2.0}
COMPARISON = {
    "target": "target_ender_60", "recipes": ["one", "two"], "seeds": 1, "eras": ["0101", "0102"], "folds": 1,
    "pay": {"CORR": 3.0, "MMC": 15.0}, "rows": [{"name": "one", **ROW}, {"name": "two", **ROW}],
    "differences": [
        {"score": "CORR", "late": "two", "early": "one", "mean": 0.004, "error": 0.002, "detectable": 0.006, "eras": 2}
    ],
    "alike": {"one": {"two": 0.9}}, "series": {"one": {"CORR": [0.1, 0.2]}}, "path": "result.json",
}  # fmt: skip


@pytest.fixture
def played(installation, trained) -> Installation:
    """A bot with its data, a confirmed round and a finished comparison."""
    for name in ("data", "store"):
        shutil.copytree(trained / name, installation.state / name)
    for path in trained.glob("*.json"):
        shutil.copy(path, installation.state)
    installation.bot("submit", BOT_MAX_EXPOSURE="1")
    ExperimentResults.of(installation.state / "experiments", "compare", {}).write(COMPARISON)
    return installation


@asynccontextmanager
async def client(bot: Installation, *options: str):
    program = mcp.StdioServerParameters(
        command=bot.command()[0],
        args=[*bot.command("mcp", "--folder", str(bot.root), *options)[1:]],
        env={**bot.environment, "PYTHONPATH": ROOT, "BOT_MAX_EXPOSURE": "1"},
    )
    with (bot.root / "errors").open("w", encoding="utf-8") as errors:
        async with mcp.Client(mcp.stdio_client(program, errlog=errors)) as one:
            yield one


def apart(drive):
    """Run a client in a thread of its own: a browser of another test may have left a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(anyio.run, drive).result()


def test_every_tool_answers(played):
    """Each tool returns the JSON of its command, here of a bot that has confirmed one round."""
    calls = {
        "status": {}, "round": {"number": FIRST_ROUND}, "scores": {}, "recipes": {}, "compare": {"recipes": ["two"]},
        "plan": {"recipe": "demo"}, "doctor": {}, "logs": {"limit": 3}, "submit_dry_run": {"slot": SLOT},
    }  # fmt: skip

    async def drive():
        async with client(played, "--allow-actions") as one:
            assert {tool.name for tool in (await one.list_tools()).tools} == {*TOOLS}
            assert calls.keys() | {"pause", "resume", "retry"} == TOOLS.keys()
            missing = await one.call_tool("logs", {"round": FIRST_ROUND + 9})
            return {name: (await one.call_tool(name, calls[name])) for name in calls}, missing

    results, absent = apart(drive)
    failed = {name: one.structured_content for name, one in results.items() if one.is_error}
    answers = {name: one.structured_content for name, one in results.items()}

    assert failed == {}
    assert f"round {FIRST_ROUND + 9} has no log here" in absent.content[0].text
    assert all(json.loads(one.content[0].text) == one.structured_content for one in results.values())
    assert answers["status"] == json.loads(played.bot("status", "--json").stdout)
    assert answers["round"]["slots"][SLOT]["state"] == "confirmed"
    assert answers["scores"] == json.loads(played.bot("scores", "--offline", "--json").stdout)
    assert next(one for one in answers["recipes"]["recipes"] if one["name"] == "demo")["champion"]
    assert answers["compare"]["comparisons"][0]["differences"][0]["t"] == pytest.approx(2.0)
    assert [one["recipe"] for one in answers["plan"]["plans"]] == ["demo"]
    assert {one["name"] for one in answers["doctor"]["checks"]} >= {"settings", "key"}
    assert len(answers["logs"]["lines"]) == 3
    assert answers["submit_dry_run"]["exit_code"] == 0
    assert "BOT_MODE=live" in " ".join(answers["submit_dry_run"]["output"])


def test_twenty_calls_at_once_are_all_answered(installation):
    """Calls that come together are answered one and all, each with its own answer."""
    installation.submit(max_exposure=1)

    async def drive():
        answers = {}
        async with client(installation) as one, anyio.create_task_group() as group:

            async def ask(number: int) -> None:
                name, arguments = (("status", {}), ("round", {"number": FIRST_ROUND}), ("logs", {"round": number + 1}))[
                    number % 3
                ]
                answers[number] = name, await one.call_tool(name, arguments)

            for number in range(20):
                group.start_soon(ask, number)
        return answers

    answers = apart(drive)

    assert len(answers) == 20
    assert all(one.structured_content["round"] == FIRST_ROUND for name, one in answers.values() if name == "round")
    assert all(one.structured_content["rounds"] for name, one in answers.values() if name == "status")
    for number, (name, one) in answers.items():
        if name == "logs":
            assert one.is_error
            assert f"round {number + 1} has" in one.structured_content["error"]


def nonsense():
    """Yield 200 lines that no client should send: no JSON, unknown methods and tools, wrong types, huge strings."""
    huge = "x" * 300_000
    arguments = (
        {"number": "1"}, {"number": None}, {"number": -1}, {"number": 10**400}, {"number": [1]}, {"number": True}, {},
        {"number": 1, "more": 2}, {"number": huge}, {huge: 1}, {"number": {"a": {"b": []}}}, [], "text", 7, None,
        {"number": 1.5}, {"number": "--help"},
    )  # fmt: skip
    broken = ("", "{", "nonsense", "[]", "null", "17", '"text"', "[" * 5_000, "\x00\x01", huge, '{"jsonrpc": "1.0"}')
    names = ("nosuch", "", huge, "../status", "submit", "submit_dry_run", None, 5, ["status"])
    methods = ("tools/nothing", "", huge, None, 5, "resources/read", "initialize")
    number = 0
    while number < 200:
        for line in broken[1:]:
            yield line
            number += 1
        messages = [("tools/call", {"name": "round", "arguments": one}) for one in arguments]
        messages += [("tools/call", {"name": one, "arguments": {}}) for one in names]
        messages += [(one, {}) for one in methods]
        messages += [("tools/call", one) for one in ({}, [], "text", None, {"arguments": {}})]
        for method, parameters in messages:
            yield json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": parameters})
            number += 1


def test_two_hundred_malformed_messages_harm_nothing(installation):
    """Every malformed line costs one short error at most; the server then answers as before, and logs no traceback."""
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": hello}),
        json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        *nonsense(),
        json.dumps({"jsonrpc": "2.0", "id": "last", "method": "tools/call", "params": {"name": "status"}}),
    ]
    text = ("\n".join(lines) + "\n").encode()
    with (installation.root / "errors").open("w") as errors:
        server = subprocess.Popen(
            installation.command("mcp"),
            cwd=installation.root,
            env={**installation.environment, "PYTHONPATH": ROOT},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    with server:
        # Written beside the reads: answers would fill the one pipe while lines fill the other.
        writer = threading.Thread(target=lambda: (server.stdin.write(text), server.stdin.flush()))
        writer.start()
        answers = []
        while not answers or answers[-1].get("id") != "last":
            answers.append(json.loads(server.stdout.readline()))
        writer.join()
        server.stdin.close()
    refused = [one for one in answers if one["id"] not in ("hello", "last")]

    assert len(lines) >= 203
    assert len(refused) >= 190
    assert all("error" in one or one["result"]["isError"] for one in refused)
    # The library repeats an unknown method in its error; the answers of tools repeat nothing long.
    assert max(len(json.dumps(one)) for one in refused if "result" in one) < 2_000
    assert answers[-1]["result"]["structuredContent"]["mode"] == "live"
    assert server.returncode == 0
    assert "Traceback" not in (installation.root / "errors").read_text()


def test_no_answer_holds_a_secret(installation):
    """A key that stands in a log, as text, in an address or in JSON, reaches no answer."""
    installation.submit(max_exposure=1)
    folder = installation.state / "rounds" / str(FIRST_ROUND)
    key = DEMO_ACCOUNT.secret_key
    line = {
        "event": f"failed with {key}",
        "level": "info",
        key: [f"https://host/?a={key}"],
        "deep": {"a": json.dumps(key)},
    }
    (folder / "log.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")

    async def drive():
        async with client(installation) as one:
            calls = (("logs", {}), ("round", {"number": FIRST_ROUND}), ("recipes", {"name": "nosuch"}))
            return [await one.call_tool(name, arguments) for name, arguments in calls]

    logs, *others = apart(drive)

    assert "failed with ***" in logs.content[0].text
    assert all(key not in one.model_dump_json() for one in (logs, *others))


def test_actions_need_a_flag(installation):
    """Without --allow-actions, a tool that changes something is neither listed nor run; the answer names the flag."""

    async def drive():
        async with client(installation) as one:
            listed = {tool.name for tool in (await one.list_tools()).tools}
            return listed, await one.call_tool("submit_dry_run", {})

    listed, refused = apart(drive)

    assert listed == {one.name for one in reading.TOOLS}
    assert refused.is_error
    assert "--allow-actions" in refused.structured_content["error"]
    assert not (installation.state / "rounds-dry-run").exists()


@pytest.mark.skipif("pause" not in get_command(app).commands, reason="this bot has no command to pause a slot")
def test_an_agent_pauses_and_resumes(installation):
    """A pause and its end are those of the commands; a retry without a running bot is refused with the reason."""
    installation.submit(max_exposure=1)

    async def drive():
        async with client(installation, "--allow-actions") as one:
            calls = (
                ("pause", {"slot": SLOT, "until": "6h"}),
                ("pause", {"until": "-f"}),
                ("resume", {}),
                ("retry", {}),
            )
            return [await one.call_tool(name, arguments) for name, arguments in calls]

    paused, odd, resumed, retried = apart(drive)

    assert [one["slot"] for one in paused.structured_content["paused"]] == [SLOT]
    assert odd.is_error
    assert resumed.structured_content == {"resumed": [SLOT], "paused": []}
    assert "no bot runs" in retried.structured_content["error"]


@pytest.mark.parametrize("tool", TOOLS.values(), ids=list(TOOLS))
def test_every_tool_explains_itself(tool):
    """A tool has a description, and an example that fits its schema."""
    jsonschema.Draft202012Validator.check_schema(tool.schema)
    jsonschema.validate(dict(tool.example), tool.schema)

    assert json.dumps(tool.example) in tool.description
    assert all(one.get("description") for one in tool.parameters.values())


def test_no_tool_uploads_or_promotes():
    """The tools are exactly these; none of them runs a command that uploads or changes a champion."""
    assert {one.name for one in reading.TOOLS if one.changes} == set()
    assert {one.name for one in actions.TOOLS if not one.changes} == set()
    assert not {*TOOLS} & {"submit", "promote", "rollback", "retrain", "diagnose", "adopt", "unpack", "export"}
