"""Find side effects in source code: calls that write, rename, remove, commit or upload, and their kill points."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

BOT = Path(__file__).resolve().parents[2] / "bot"
METHODS = {
    "acquire", "chmod", "copyfile", "executescript", "fsync", "mkdir", "rename", "rmdir", "rmtree", "symlink_to", "touch",
    "truncate", "unlink", "write_bytes", "write_text",
}  # fmt: skip


@dataclass(frozen=True)
class Effect:
    """
    A call with a side effect.

    Attributes:
        module: Module of the call.
        function: Function around the call.
        line: Line of the call.
        call: Source of the call.
        enclosed: Whether a kill point encloses the call.
    """

    module: str
    function: str
    line: int
    call: str
    enclosed: bool


class _Scan(ast.NodeVisitor):
    def __init__(self, module: str, tree: ast.Module) -> None:
        self.module, self.mutations = module, _mutations(tree)
        self.effects: list[Effect] = []
        self.calls: list[tuple[str, str, bool]] = []
        self.names: list[str] = []
        self._function, self._depth = "", 0
        self.visit(tree)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outer, depth = self._function, self._depth
        self._function, self._depth = node.name, 0
        self.generic_visit(node)
        self._function, self._depth = outer, depth

    def visit_With(self, node: ast.With) -> None:
        entered = 0
        for item in node.items:
            self.visit(item.context_expr)
            call = item.context_expr
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "kill_point":
                self.names.append(ast.literal_eval(call.args[0]))
                self._depth += 1
                entered += 1
        for statement in node.body:
            self.visit(statement)
        self._depth -= entered

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        self.calls.append((name, self._function, self._depth > 0))
        if isinstance(node.func, ast.Attribute) and self._has_effect(name, node):
            effect = Effect(self.module, self._function, node.lineno, ast.unparse(node), self._depth > 0)
            self.effects.append(effect)
        self.generic_visit(node)

    def _has_effect(self, name: str, node: ast.Call) -> bool:
        return _CONDITIONS[name](node, self.mutations) if name in _CONDITIONS else name in METHODS


_CONDITIONS: dict[str, Callable[[ast.Call, set[str]], bool]] = {
    "replace": lambda node, _: len(node.args) == 1,
    "write": lambda node, _: len(node.args) == 1,
    "open": lambda node, _: any(
        isinstance(one, ast.Constant | ast.IfExp) and "r" not in ast.unparse(one) for one in node.args
    ),
    "execute": lambda node, _: not ast.unparse(node.args[0]).startswith(("'SELECT", "'PRAGMA user_version'", "query")),
    "raw_query": lambda node, mutations: getattr(node.args[0], "id", "") in mutations,
    "upload": lambda node, _: ast.unparse(node.func).endswith("_transport.upload"),
    "connect": lambda node, _: ast.unparse(node.func) == "sqlite3.connect",
}
"""Methods that have a side effect only with some arguments: a path's ``replace`` has one argument, a string's two."""


def _mutations(tree: ast.Module) -> set[str]:
    """Return the constants of a module that hold a GraphQL mutation, or a query that makes something to upload to."""
    return {
        node.targets[0].id
        for node in tree.body
        if isinstance(node, ast.Assign) and any(word in ast.unparse(node.value) for word in ("mutation", "upload_auth"))
    }


def reached_from(module: str) -> list[str]:
    """Return *module* and the bot's modules that it imports, directly or through others."""
    found, queue = [], [module]
    while queue:
        name = queue.pop()
        path = BOT.parent / f"{name.replace('.', '/')}.py"
        if name in found or not path.is_file():
            continue
        found.append(name)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "bot":
                # A name that is imported from a package may be a module.
                queue += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return sorted(found)


def scan(modules: list[str]) -> tuple[list[Effect], set[str]]:
    """
    Return the side effects of *modules*, and the names of the kill points in them.

    An effect in a function that is only ever called from within kill points counts as enclosed.
    """
    scans = [_Scan(name, ast.parse((BOT.parent / f"{name.replace('.', '/')}.py").read_text())) for name in modules]
    calls = [call for one in scans for call in one.calls]
    covered: set[str] = set()
    while True:
        more = {
            name
            for name, _, _ in calls
            if all(inside or caller in covered for called, caller, inside in calls if called == name)
        }
        if more <= covered:
            break
        covered |= more
    effects = [
        Effect(one.module, one.function, one.line, one.call, one.enclosed or one.function in covered)
        for each in scans
        for one in each.effects
    ]
    return effects, {name for one in scans for name in one.names}


def unenclosed(modules: list[str]) -> Iterator[Effect]:
    """Yield the side effects that no kill point encloses."""
    return (one for one in scan(modules)[0] if not one.enclosed)
