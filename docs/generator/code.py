"""Pages of what the source says in constants and calls: errors with their exit codes, log events, metrics, alerts."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from bot import errors

BOT = Path(errors.__file__).parent
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}

EXIT_CODES = """# Exit codes

Every error is one line on standard error (what happened, why, how to fix it) and an exit code.
`bot doctor` finds most causes before they cost a round.

| exit code | meaning | for example | what to do |
|---|---|---|---|
| 0 | done, or nothing to do | `already confirmed, nothing to do` | nothing |
| 1 | a fault of the bot itself | a Python traceback | report it with the log |
| 2 | the command line is wrong | unknown option | see `bot --help` |
| 65 | refused: the upload would be wrong | features missing, a gate failed, an artifact is damaged, another submission is in the slot, a pack was changed | read the message; `bot rollback`, `bot retrain`, or `--force` |
| 75 | try later (`bot health`: not healthy) | no round is open, Numerai does not answer, the live file is stale or truncated, another process holds the state directory, the disk is full | wait; `bot run` tries again by itself |
| 78 | needs you | wrong key, unknown slot, unknown setting, nothing trained yet, too few labelled eras for a hold-out | the message names the variable or command |
| 130 | interrupted by Ctrl-C | - | run the command again; it continues |

The errors behind the codes:

| error | exit code | meaning |
|---|---|---|
"""

EVENTS = """# Log events

`bot` logs to standard error: JSON lines, or readable lines on a terminal (`BOT_LOG_FORMAT`). Every line has `event`, `level` and
`timestamp`, in UTC. Lines of a round also go to `rounds/<n>/log.jsonl`, and `bot status ROUND` shows them.
`info` happened as it should, `warning` needs a look within days, `error` needs a look today.
Secrets and signed URLs are replaced by `***`.

| event | level | further fields | written by |
|---|---|---|---|
"""

METRICS = """# Metrics

With `BOT_HTTP_PORT` set, `bot run` serves `/metrics` in Prometheus' text format and `/healthz` (200, or 503 with the reasons).
The names of slots and accounts are in neither. [The runbook](../runbook.md) explains the alerts of `monitoring/alerts.yml`.

| metric | label | meaning |
|---|---|---|
"""


class Event(NamedTuple):
    """A call that logs."""

    name: str
    level: str
    fields: tuple[str, ...]
    module: str


class Alert(NamedTuple):
    """An alert: the first word of its name, and the module that opens or closes it."""

    name: str
    module: str


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(BOT.rglob("*.py")):
        yield path.relative_to(BOT.parent).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def _calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call of a method with the method's name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, node


def _constant(node: ast.expr, known: Mapping[str, ast.expr] = MappingProxyType({})) -> str:
    """Return the constant beginning of a text; *known* has the values of names, and what functions return."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    if isinstance(node, ast.FormattedValue):
        node = node.value
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Name) and node.id in known:
        return _constant(known[node.id], {name: one for name, one in known.items() if name != node.id})
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _values(tree: ast.Module) -> dict[str, ast.expr]:
    """Return what names are set to, and what functions return, as far as it is a text or a name."""
    found: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            targets = [(one, node.value) for one in node.targets]
            for target, value in targets:
                names, values = ([target], [value])
                if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                    names, values = target.elts, value.elts
                found.update(
                    {one.id: what for one, what in zip(names, values, strict=True) if isinstance(one, ast.Name)}
                )
        elif isinstance(node, ast.FunctionDef) and isinstance(node.body[-1], ast.Return) and node.body[-1].value:
            found.setdefault(node.name, node.body[-1].value)
    return found


def events() -> list[Event]:
    """Return every call that logs an event with a constant name."""
    found = []
    for module, method, call in ((module, *one) for module, tree in _modules() for one in _calls(tree)):
        name = _constant(call.args[0]) if call.args else ""
        if method in LEVELS and "." in name and " " not in name:
            level = "error" if method == "exception" else method
            fields = tuple(one.arg for one in call.keywords if one.arg not in (None, "exc_info", "round", "slot"))
            found.append(Event(name, level, fields, module))
    return found


def alerts() -> list[Alert]:
    """Return every alert that the bot opens or closes, by the first word of its name."""
    found = set()
    for module, tree in _modules():
        known = _values(tree)
        for method, call in _calls(tree):
            of_loop = method in ("open", "close") and ast.unparse(call.func).endswith("_alerts." + method)
            if (method in ("alert", "resolve") or of_loop) and call.args and (name := _constant(call.args[0], known)):
                found.add(Alert(name.split()[0], module))
    return sorted(found)


def events_page() -> str:
    """Return the page of log events."""
    merged: dict[tuple[str, str], tuple[set[str], list[str]]] = defaultdict(lambda: (set(), []))
    for one in events():
        fields, modules = merged[one.name, one.level]
        fields.update(one.fields)
        modules.append(one.module)
    rows = [
        f"| `{name}` | {level} | {', '.join(f'`{field}`' for field in sorted(fields)) or '-'} |"
        f" {', '.join(f'`{module}`' for module in sorted(set(modules)))} |"
        for (name, level), (fields, modules) in sorted(merged.items())
    ]
    return EVENTS + "\n".join(rows) + "\n"


def metrics() -> dict[str, tuple[str, str]]:
    """Return label and meaning of every metric by its name."""
    tree = ast.parse((BOT / "web" / "prometheus.py").read_text(encoding="utf-8"))
    found = {"artifact_info": ("artifact", "Artifact that scored the newest round.")}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        kind = ast.unparse(call.func)
        if kind in ("_gauge", "_labelled") and (name := _constant(call.args[0])):
            found[name] = (_constant(call.args[2]) if kind == "_labelled" else "-", _constant(call.args[1]))
    return {f"numerai_bot_{name}": about for name, about in found.items()}


def metrics_page() -> str:
    """Return the page of metrics."""
    rows = [f"| `{name}` | {label} | {meaning} |" for name, (label, meaning) in sorted(metrics().items())]
    return METRICS + "\n".join(rows) + "\n"


def errors_page() -> str:
    """Return the page of exit codes and errors."""
    rows = []

    def add(kind: type[errors.BotError]) -> None:
        summary = (kind.__doc__ or "").strip().splitlines()[0]
        rows.append(f"| `{kind.__name__}` | {kind.exit_code} | {summary} |")
        for below in kind.__subclasses__():
            if below.__module__ == errors.__name__:
                add(below)

    for branch in (errors.RetryLater, errors.RefuseToSubmit, errors.OperatorNeeded):
        add(branch)
    return EXIT_CODES + "\n".join(rows) + "\n"
