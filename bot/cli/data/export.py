"""`bot data export`: columns of the era store as parquet or npy files."""

import sys
from pathlib import Path

import typer

from bot import assembly
from bot.cli.answer import Answer
from bot.data.era_store import EraStore
from bot.data.store_export import FORMATS, MANIFEST, Export, every_nth
from bot.data.store_export import export as write
from bot.errors import BadConfig, OperatorNeeded, SchemaMismatch, suggestion_or_all
from bot.features.feature_sets import FeatureMetadata
from bot.settings import load_settings
from bot.system import logs
from bot.system.lock import state_lock


def export_store(
    *,
    features: str | None,
    targets: str | None,
    every: int,
    file_format: str,
    output: Path | None,
    data_version: str | None,
) -> Answer:
    """
    Export columns of the newest era store; return the folder and what it holds.

    Args:
        features: Feature set; ``None`` takes that of the settings.
        targets: Names of targets, separated by commas; ``None`` takes all.
        every: Every n-th era.
        file_format: ``parquet`` or ``npy``.
        output: Folder of the files; ``None`` names one in the state directory.
        data_version: Data version; ``None`` takes that of the first recipe in use.

    Raises:
        BadConfig: The format is unknown, the data lack a feature set or a target, or the folder holds something else.
        OperatorNeeded: There is no era store.
    """
    chosen = next((one for one in FORMATS if one == file_format), None)
    if chosen is None:
        raise BadConfig(f"--format {file_format!r} is unknown; formats: {', '.join(FORMATS)}")
    settings = load_settings()
    logs.configure(**settings.logging)
    version = data_version or assembly.pins(settings)[0].in_use
    place = EraStore.newest(settings.state_dir / "store", version)
    if place is None:
        raise OperatorNeeded(f"no era store of {version} in {settings.state_dir}; run `bot sync` first")
    store = EraStore.open(place)
    feature_set = features or settings.feature_set
    metadata = FeatureMetadata.read(settings.state_dir / "data" / version / "features.json")
    try:
        names = metadata.members(feature_set)
    except SchemaMismatch as error:  # nothing is uploaded here
        raise BadConfig(str(error)) from None
    wanted = tuple(dict.fromkeys(filter(None, targets.split(",")))) if targets else store.manifest.targets
    for target in wanted:
        if target not in store.manifest.targets:
            hint = suggestion_or_all(target, store.manifest.targets)
            raise BadConfig(f"target {target!r} is not in this data version{hint}")
    columns = store.select(names, wanted)
    plan = Export(columns=columns, positions=every_nth(store, every), file_format=chosen)
    folder = output or settings.state_dir / "exports" / f"{version}-{feature_set}-every-{every}-{chosen}"
    with state_lock(settings.state_dir, "export"):
        manifest = write(plan, folder, on_progress=_show_progress)
    sizes = [file["bytes"] for part in manifest["parts"] for file in part["files"].values()]
    rows = sum(part["rows"] for part in manifest["parts"])
    line = (
        f"{folder}: {len(plan.positions)} eras, {rows:,} rows, {len(names)} features, {len(wanted)} targets;"
        f" {len(sizes)} files, {sum(sizes) / 1e9:.2f} GB; {MANIFEST} lists them with sha256"
    )
    content = {
        "folder": folder, "manifest": folder / MANIFEST, "data_version": version, "format": chosen, "eras": len(plan.positions),
        "rows": rows, "features": len(names), "targets": wanted, "files": len(sizes), "bytes": sum(sizes),
    }  # fmt: skip
    return Answer(lines=(line,), content=content)


def _show_progress(done: int, total: int) -> None:
    """Show the parts that are done, on a terminal."""
    if sys.stderr.isatty():
        typer.echo(f"\rpart {done} of {total}", err=True, nl=done == total)
