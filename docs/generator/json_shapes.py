"""The page of what the bot writes as JSON: shapes of values that the code itself makes from a small state directory."""

import inspect
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from bot.cli.json_answers import ANSWERS, OTHERWISE, Failed
from bot.judging import evaluation_file
from bot.record.hosted import HostedPickle, HostedRecord
from bot.record.ledger import Entry, Ledger, LiveFileRecord
from bot.record.outbox import Outbox
from bot.serving.artifacts import MEMBERS, NEEDED
from bot.submission._round_report import RoundReport
from bot.tournament.rounds import Round
from bot.web.status import overview, post_mortem
from docs.generator.recipes import meanings

OPENING = """# JSON

What scripts can read. A release that renames or removes a key says so in the changelog.

With `--json`, standard output holds one JSON object and nothing else; tables, questions and progress go to standard error, and
the exit code is the same. A figure that could not be computed is `null`. `bot status --watch --json` prints an object every two
seconds. A command that goes on with its other parts where one fails (slots, recipes, data versions, packs) has the key `errors`.
A command that fails as a whole prints this in place of its answer, also for a wrong option (exit code 2):

"""
AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def json_page() -> str:
    """Return the page of JSON."""
    status, round_ = _samples()
    report = meanings(RoundReport)
    manifest = ", ".join(f"`{'.'.join(keys)}`" for keys in (*NEEDED, *MEMBERS))
    return OPENING + "\n".join(
        [
            *_keys(Failed),
            "\nCommands without `--json`, and those whose object has no fixed keys:\n",
            *(f"- `bot {words}` {what}." for words, what in OTHERWISE.items()),
            *(_command(words, kind) for words, kind in ANSWERS.items()),
            "\n## bot status --json\n\nThe overview. `rung` is the fallback that filled a slot, `champion` where nothing was wrong.\n",
            _block(status),
            "\n## bot status ROUND --json\n\nEverything that is kept of a round. `report` is the file `report.json`, below.\n",
            _block(round_),
            "\n## report.json\n\nThe report of a submission, in `rounds/<n>/<slot>/`.\n",
            "| key | meaning |\n|---|---|",
            *(f"| `{one.name}` | {report.get(one.name, '')} |" for one in fields(RoundReport)),
            f"\n## manifest.json\n\nThe manifest of an artifact. Serving needs the keys {manifest}.",
            "The others are a record: `decision` is the judgement, `retrain` the plan and its time.\n",
            "## evaluation.json\n",
            _evaluation(),
        ]
    )  # fmt: skip


def _command(words: str, kind: type[Any]) -> str:
    about = (inspect.cleandoc(kind.__doc__ or "").splitlines() or [""])[0]
    words, _, option = words.partition(" --")
    heading = f"## bot {words}{option and f' --{option}'} --json"
    return "\n".join((f"\n{heading}\n\n{about}\n", *_keys(kind)))


def _keys(kind: type[Any]) -> Iterator[str]:
    """Yield the table of an object's keys; those of an object in it stand below its own, as ``receipts[].round``."""
    yield "| key | type | meaning |\n|---|---|---|"
    yield from (f"| `{key}` | {_type(one)} | {about} |" for key, one, about in _flat(kind, ""))


def _flat(kind: type[Any], before: str) -> Iterator[tuple[str, Any, str]]:
    about = {key: text for one in reversed(kind.__mro__) for key, text in meanings(one).items()}
    for name, one in _members(kind).items():
        yield f"{before}{name}", one, about.get(name, "")
        inner, path = _inner(one)
        if inner is not None:
            yield from _flat(inner, f"{before}{name}{path}.")


def _members(kind: type[Any]) -> dict[str, Any]:
    """Return the keys of an object with their types: those of a ``TypedDict``, or the fields of a dataclass."""
    hints = get_type_hints(kind)
    return {one.name: hints[one.name] for one in fields(kind)} if is_dataclass(kind) else hints


def _inner(kind: Any) -> tuple[type[Any] | None, str]:  # noqa: ANN401 - a type
    """Return the object that a type holds, and how a path leads to it."""
    if is_typeddict(kind) or is_dataclass(kind):
        return kind, ""
    for one in get_args(kind):
        inner, path = _inner(one)
        if inner is not None:
            mark = "[]" if _is_list(kind) else ".<name>" if get_origin(kind) in (dict, Mapping) else ""
            return inner, mark + path
    return None, ""


def _is_list(kind: Any) -> bool:  # noqa: ANN401 - a type
    return get_origin(kind) in (list, tuple, Sequence)


def _type(kind: Any) -> str:  # noqa: ANN401 - a type
    """Return the name of a JSON type."""
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(dict.fromkeys(_type(one) for one in get_args(kind)))
    if get_origin(kind) is Literal:
        return ", ".join(f"`{json.dumps(one)}`" for one in get_args(kind))
    plain = {str: "text", Path: "text", bool: "true or false", int: "number", float: "number", NoneType: "`null`"}
    return plain.get(kind) or ("list" if _is_list(kind) else "object")


def _evaluation() -> str:
    """Return the description of ``evaluation.json``, which its module has in its docstring."""
    _, _, text = inspect.cleandoc(evaluation_file.__doc__ or "").partition("::\n\n")
    shape, _, rest = text.partition("\n\nEvery")
    return f"```text\n{inspect.cleandoc(shape)}\n```\n\nEvery{rest}\n".replace("``null``", "`null`")


def _samples() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the overview and a round of a small state directory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        ledger, outbox = Ledger(path), Outbox(path)
        ledger.record_round(Round(number=1405, opens_at=AT, closes_at=AT + timedelta(hours=1)))
        ledger.record_live_file(
            LiveFileRecord(
                round=1405, version="v5.3", sha256="ab", ids_sha256="cd", rows=6123, fetched_at=AT.isoformat()
            )
        )
        ledger.intend(
            Entry(
                round=1405, slot="my_model", state="intended", token="", csv_sha256="ef", data_sha256="ab",
                artifact="2026-11-24T120000Z-abcd", submission_id=None, filename=None, intended_at=AT.isoformat(),
                confirmed_at=None,
            )
        )  # fmt: skip
        ledger.confirm(1405, "my_model", submission_id="s", filename="r1405.csv", at=AT)
        ledger.start_job("sync", AT)
        ledger.finish_job("sync", AT, "ok")
        outbox.alert("numerai", "no usable answer from Numerai", "", at=AT)
        with closing(HostedRecord(path)) as hosted:
            hosted.keep(
                HostedPickle(
                    slot="my_hosted_model", sha256="ab", account="", model_id="m", artifact="2026-11-24T120000Z-abcd",
                    filename="2026-11-24T120000Z-abcd-ab.pkl", pickle="p", state="assigned", assigned_at=AT.isoformat(),
                ),
                at=AT,
            )  # fmt: skip
        ledger.close()
        outbox.close()
        champions = Path(folder) / "artifacts" / "champions"
        champions.mkdir(parents=True)
        (champions / "standard.json").write_text('{"champion": "2026-11-24T120000Z-abcd", "previous": []}')
        return overview(Path(folder), path, now=AT), post_mortem(path, 1405)


def _block(value: Any) -> str:  # noqa: ANN401 - any JSON
    return "```text\n" + "\n".join(_shape(value)) + "\n```"


def _shape(value: Any, indent: str = "") -> list[str]:  # noqa: ANN401 - any JSON
    """Return lines that show keys and types; of a list, its first item; names of slots and such as ``<name>``."""
    lines = []
    for key, one in (value if isinstance(value, Mapping) else {}).items():
        shown = {"my_model": "<slot>", "standard": "<recipe>", "numerai": "<alert>"}.get(key, key)
        if isinstance(one, Mapping) and one:
            lines += [f"{indent}{shown}", *_shape(one, indent + "  ")]
        elif isinstance(one, list) and one and isinstance(one[0], Mapping):
            lines += [f"{indent}{shown}, a list of", *_shape(one[0], indent + "  ")]
        else:
            lines.append(f"{indent}{shown}: {_kind(one)}")
    return lines


def _kind(value: Any) -> str:  # noqa: ANN401 - any JSON
    if value is None:
        return "null, or a value"
    kinds = {bool: "true or false", int: "number", float: "number", str: "text", list: "list", dict: "object"}
    return kinds.get(type(value), "value")
