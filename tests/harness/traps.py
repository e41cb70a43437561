"""A working folder full of modules that the bot must not import, and a record of those that were."""

from pathlib import Path

MODULES = (
    *("bot", "models", "tests", "numpy", "pandas", "pyarrow", "requests", "structlog", "pydantic", "lightgbm", "torch"),
    *(
        "onnxruntime",
        "numerai_tools",
        "optuna",
        "polars",
        "typer",
        "calendar",
        "json",
        "logging",
        "sqlite3",
        "subprocess",
    ),
    *("usercustomize", "sitecustomize", "pathlib", "site", "platform", "random", "secrets", "tokenize"),
)
TRAP = """
with open({record!r}, "a") as file:
    file.write(__name__ + chr(10))
raise SystemExit("imported from the working folder")
"""


def set_traps(folder: Path, *, without: tuple[str, ...] = ()) -> Path:
    """
    Put modules and packages into *folder* that write their name into a record when they are imported.

    Returns:
        The record, which does not exist until something was imported.
    """
    record = folder / "imported.txt"
    code = TRAP.format(record=str(record))
    for name in MODULES:
        if name in without:
            continue
        if name in ("bot", "models"):
            (folder / name).mkdir()
            for file in ("__init__.py", "__main__.py"):
                (folder / name / file).write_text(code)
        (folder / f"{name}.py").write_text(code)
    return record
