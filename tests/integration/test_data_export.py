"""`bot data export` on the data of a trained bot."""

import json
import shutil

import numpy as np
import pytest

from bot.data.era_store import EraStore
from bot.features.feature_sets import FeatureMetadata


def test_the_command_exports_what_is_asked_for(installation, trained):
    """Feature set, targets, every fourth era and format are those of the options; a second run writes nothing."""
    for name in ("data", "store"):
        shutil.copytree(trained / name, installation.state / name)
    words = ("data", "export", "--features", "small", "--every", "4", "--targets", "target_ender_60", "--format", "npy")
    first, second = installation.bot(*words), installation.bot(*words)
    folder = installation.state / "exports" / "v5.3-small-every-4-npy"
    manifest = json.loads((folder / "export.json").read_text())
    store = EraStore.open(EraStore.newest(installation.state / "store", "v5.3"))
    names = FeatureMetadata.read(installation.state / "data" / "v5.3" / "features.json").members("small")
    codes = np.concatenate([np.load(one, mmap_mode="r") for one in sorted(folder.glob("*.features.npy"))])

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert first.stdout == second.stdout
    assert str(folder) in first.stdout
    assert manifest["eras"] == list(store.eras[::-4][::-1])
    assert manifest["features"] == list(names)
    assert manifest["targets"] == ["target_ender_60"]
    assert codes.shape == (sum(part["rows"] for part in manifest["parts"]), len(names))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--features", "smal"), "feature set 'smal' is not in this data version; did you mean small?"),
        (("--targets", "target_endr_60"), "target 'target_endr_60' is not in this data version; did you mean target_ender_60?"),
    ],
)  # fmt: skip
def test_a_mistyped_column_is_answered_by_its_neighbour(installation, trained, words, reason):
    """A feature set or target with a typo ends with one line that has the name that was probably meant."""
    for name in ("data", "store"):
        shutil.copytree(trained / name, installation.state / name)
    done = installation.bot("data", "export", *words)

    assert (done.returncode, done.stderr) == (78, f"error: {reason}\n")


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("--format", "csv"), 78, "--format 'csv' is unknown; formats: parquet, npy"),
        ((), 78, "no era store of v5.3"),
        (("--data-version", "v9.9"), 78, "no era store of v9.9"),
    ],
)
def test_what_cannot_be_exported_is_one_line(installation, words, code, reason):
    """An unknown format or a store that is not there ends with one line, and makes no folder."""
    done = installation.bot("data", "export", *words)

    assert done.returncode == code
    assert done.stderr.startswith(f"error: {reason}")
    assert done.stderr.count("\n") == 1
    assert not (installation.state / "exports").exists()
