"""Run ``python -m bot`` as the command ``bot``; the daemon starts its children this way."""

from bot.cli.main import main
from bot.system.child_process import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    main()
