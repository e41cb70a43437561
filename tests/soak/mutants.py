"""
Small changes of a module's text, one at a time.

A mutant differs in a comparison, a boolean or arithmetic operator, a number, a flag, a condition, a statement, a returned
value, the order of two arguments, or a word of SQL. Not mutated: annotations, docstrings, messages, the schema's own
text, and what changes nothing: the order of what ``min`` and ``max`` get, and the index into results of one row.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
Change = tuple[ast.AST, Callable[[], str]]
"""What is changed, and what changes it and says how."""

COMPARISONS = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
ONE_ROW = ("rows", "fetchone()")
"""Results of one row or column, by key or LIMIT 1: their first element is their last, and a wider limit reads no more."""

SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|PRAGMA|BEGIN|COMMIT|ROLLBACK)\b")
WORDS = (
    (r" < ", " <= "), (r" = ", " != "), (r" DESC", " ASC"), (r"ORDER BY (\w+)(?! DESC)$", r"ORDER BY \1 DESC"), (r" AND ", " OR "),
    (r"NOT EXISTS", "EXISTS"), (r"max\(", "min("), (r"'(\w|\.)+'", "''"), (r" OR REPLACE", ""), (r"LIMIT (\d\d)", r"LIMIT 2\1"),
    (r"FULL", "OFF"), (r"WAL", "DELETE"), (r"=ON", "=OFF"), (r" IMMEDIATE", ""), (r"^(BEGIN|COMMIT|ROLLBACK)", "SELECT 1 --"),
)  # fmt: skip
"""What a word of SQL becomes."""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A changed module: where, what, and its whole text."""

    module: str
    line: int
    what: str
    text: str


def mutants(module: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    source = (ROOT / module).read_text()
    count = sum(1 for _ in _places(ast.parse(source)))
    for nth in range(count):
        tree = ast.parse(source)
        _, node, change = next(one for one in _places(tree) if one[0] == nth)
        line, what = node.lineno, change()
        yield Mutant(module=module, line=line, what=what, text=ast.unparse(ast.fix_missing_locations(tree)))


def _places(tree: ast.Module) -> Iterator[tuple[int, ast.AST, Callable[[], str]]]:
    changes = (one for node in _code(tree) for one in [*_operators(node), *_values(node), *_statements(node)])
    for nth, (node, change) in enumerate(changes):
        yield nth, node, change


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """Walk over what is executed, in the order of the text."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "format_spec"):
            continue
        if name == "slice" and ast.unparse(node.value).endswith(ONE_ROW):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not (
                isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            ):
                yield from _code(child)


def _setting(node: ast.AST, name: str, value: object, what: str) -> Change:
    def change() -> str:
        setattr(node, name, value)
        return what

    return node, change


def _operators(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Compare():
            for nth, operator in enumerate(node.ops):
                for other in COMPARISONS[type(operator)]:
                    yield _setting(node, "ops", [*node.ops[:nth], other(), *node.ops[nth + 1 :]], "comparison")
        case ast.BoolOp():
            yield _setting(node, "op", ast.And() if isinstance(node.op, ast.Or) else ast.Or(), "boolean operator")
        case ast.BinOp() if type(node.op) in ARITHMETIC:
            yield _setting(node, "op", ARITHMETIC[type(node.op)](), "arithmetic")
        case ast.UnaryOp(op=ast.Not()):
            yield _setting(node, "operand", ast.UnaryOp(op=ast.Not(), operand=node.operand), "dropped not")
        case ast.Call(args=[first, second, *rest]) if getattr(node.func, "id", "") not in ("min", "max"):
            yield _setting(node, "args", [second, first, *rest], "swapped arguments")
        case ast.If(test=test) | ast.IfExp(test=test) if not isinstance(test, ast.Compare):
            yield _setting(node, "test", ast.UnaryOp(op=ast.Not(), operand=test), "condition")


def _values(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Constant(value=bool()):
            yield _setting(node, "value", not node.value, "flag")
        case ast.Constant(value=int() | float()):
            for step in (1, -1):
                yield _setting(node, "value", node.value + step, "number")
        case ast.Constant(value=str(text)) if SQL.match(text):
            for pattern, word in WORDS:
                for found in re.finditer(pattern, text):
                    changed = text[: found.start()] + found.expand(word) + text[found.end() :]
                    yield _setting(node, "value", changed, f"SQL {found.group()!r}")


def _statements(node: ast.AST) -> Iterator[Change]:
    for name in ("body", "orelse", "finalbody", "handlers"):
        block = getattr(node, name, None)
        if not isinstance(block, list):
            continue
        for nth, statement in enumerate(block):
            if not isinstance(statement, ast.Return | ast.Raise | ast.Assign | ast.AugAssign | ast.Expr):
                continue
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant | ast.Yield):
                continue

            def remove(block: list = block, nth: int = nth, statement: ast.AST = statement) -> str:
                block[nth] = ast.copy_location(ast.Pass(), statement)
                return f"removed {type(statement).__name__.lower()}"

            yield statement, remove
            if isinstance(statement, ast.Return) and isinstance(statement.value, ast.Compare | ast.BoolOp):
                yield _setting(statement, "value", ast.UnaryOp(op=ast.Not(), operand=statement.value), "negated return")
