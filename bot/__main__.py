"""``python -m bot`` is the same program as ``bot``; the daemon's children are started by it."""

from bot.children import follow_holder
from bot.cli import main

if __name__ == "__main__":
    follow_holder()
    main()
