"""``python -m bot`` is the same program as ``bot``; the daemon's children are started by it."""

from bot.cli.main import main
from bot.system.child_process import follow_holder

if __name__ == "__main__":
    follow_holder()
    main()
