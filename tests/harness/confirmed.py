"""Stands in for ``bot submit`` where only the daemon matters: what it would find in the ledger afterwards, and nothing else."""

import os
import sqlite3
import sys

FROM_BELOW = 30
"""Every so many rounds, from the third on, something else than the champion fills the slot: an alert, and then a recovery."""

if __name__ == "__main__" and sys.argv[1] == "submit":
    database = sqlite3.connect(f"{os.environ['BOT_STATE_DIR']}/ledger.sqlite", timeout=10)
    (place,) = database.execute("SELECT count(*) FROM submission").fetchone()
    rung = "previous champion" if place % FROM_BELOW == 2 else "champion"
    row = (
        int(sys.argv[3]),
        "sandbox_mixer",
        "confirmed",
        "t",
        "c",
        "d",
        "a",
        "s",
        "f",
        "2026-11-24",
        "2026-11-24",
        rung,
    )
    with database:
        database.execute(f"INSERT OR REPLACE INTO submission VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608
    database.close()
