"""A generated world with v5.3's 3,555 features, and its era store."""

from dataclasses import replace
from pathlib import Path

from bot.data.era_store import EraStore
from bot.data.ingest import update
from bot.sandbox.world.generate import generate
from bot.sandbox.world.schema import SIZES

FILES = ("train.parquet", "validation.parquet")


def world(folder: Path, scale: float) -> None:
    """Generate a world with a share *scale* of v5.3's eras, unless it exists."""
    if (folder / "truth" / "world.json").exists():
        return
    full = SIZES["full"]
    size = full
    if scale < 1:
        eras = round((full.train_eras + full.validation_eras) * scale)
        validation = max(int(full.validation_eras * scale), 20)
        size = replace(full, train_eras=eras - validation, validation_eras=validation, rows=(5_500, 5_600))
    generate(folder, size=size)


def store(folder: Path, scale: float) -> EraStore:
    """Return the era store of such a world; world and store are made if they are missing."""
    world(folder, scale)
    return update(folder / "store", [folder / "v5.3" / name for name in FILES], version="v5.3")
