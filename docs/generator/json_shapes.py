"""The page of what the bot writes as JSON: shapes of values that the code itself makes from a small state directory."""

import inspect
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot.doctor.checks import Check
from bot.judging import evaluation_file
from bot.record.hosted import HostedPickle, HostedRecord
from bot.record.ledger import Entry, Ledger, LiveFileRecord
from bot.record.outbox import Outbox
from bot.serving.artifacts import MEMBERS, NEEDED
from bot.submission._round_report import RoundReport
from bot.tournament.rounds import Round
from bot.web.status import overview, post_mortem
from docs.generator.commands import tree
from docs.generator.recipes import meanings

OPENING = """# JSON

What scripts can read. A release that renames or removes a key says so in the changelog.

"""
AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def json_page() -> str:
    """Return the page of JSON."""
    commands = [
        " ".join(words) for words, one in tree().items() if any("--json" in option.opts for option in one.params)
    ]
    about = meanings(Check)
    status, round_ = _samples()
    report = meanings(RoundReport)
    manifest = ", ".join(f"`{'.'.join(keys)}`" for keys in (*NEEDED, *MEMBERS))
    return OPENING + "\n".join(
        [
            "Commands with `--json`: " + ", ".join(f"`bot {one}`" for one in commands) + ".\n",
            "## bot doctor --json\n\nOne object for each check, one a line.\n",
            "| key | meaning |\n|---|---|",
            *(f"| `{one.name}` | {about[one.name]} |" for one in fields(Check)),
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
