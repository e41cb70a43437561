"""``python -m bot`` is the same program as ``bot``; the daemon's children are started by it."""

from bot.cli.main import main
from bot.system.child_process import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    main()
