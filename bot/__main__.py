"""Run ``python -m bot`` as the command ``bot``; the daemon starts its children this way."""

import os
import sys

# `python -m` puts the working folder first among the places to import from. This stands before all other imports, and uses
# only modules that Python has loaded already, because a `pathlib.py` or `numpy.py` there must stay a mere file.
_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
if __name__ == "__main__" and not sys.flags.safe_path and sys.path[0] != _OWN:
    del sys.path[0]

from bot.cli.main import main  # noqa: E402
from bot.system.child_process import end_with_parent  # noqa: E402

if __name__ == "__main__":
    end_with_parent()
    main()
