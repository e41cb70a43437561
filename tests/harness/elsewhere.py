"""An interpreter that has Numerai's libraries and none of the bot's: what a pickle does not bring is not there."""

import sys
from pathlib import Path

HAS = (
    "bot", "cloudpickle", "dateutil", "google", "ml_dtypes", "models", "numpy", "onnx", "pandas", "pyarrow", "pytz", "scipy",
    "six", "typing_extensions", "tzdata",
)  # fmt: skip
"""Import names of the packages in the fresh environment of the check, and of what a pickle brings; lightgbm is not needed."""

SCRIPT = """#!{python} -I
import os, runpy, sys
from pathlib import Path

class Absent:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root not in {{*sys.stdlib_module_names, *{has}}} and not root.startswith("_"):
            raise ModuleNotFoundError(name, name=name)

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
    path.write_text(SCRIPT.format(python=sys.executable, has=HAS))
    path.chmod(0o755)
    return path
