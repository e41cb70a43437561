"""An interpreter that has Numerai's libraries and none of the bot's: what a pickle does not bring is not there."""

import sys
from pathlib import Path

SCRIPT = """#!{python} -I
import os, runpy, sys
from pathlib import Path

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {{"onnxruntime", "structlog", "torch", "lightgbm", "pydantic", "numerapi"}}:
            raise ModuleNotFoundError(name)

sys.path = [one for one in sys.path if not (Path(one) / "bot").is_dir()]
sys.meta_path = [Absent(), *(one for one in sys.meta_path if "editable" not in str(one))]
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
for package in ("bot", "models"):
    if not sys.modules[package].__file__.startswith(os.environ["TMPDIR"]):
        sys.exit(f"{{package}} came from {{sys.modules[package].__file__}}")
"""


def make_python(folder: Path) -> Path:
    """Write the interpreter into a folder and return its path."""
    path = folder / "python"
    path.write_text(SCRIPT.format(python=sys.executable))
    path.chmod(0o755)
    return path
