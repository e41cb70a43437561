"""Scores of judged models that are not computed again."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bot.features.preprocess import Preprocess
from bot.history.factor_history import HistoryState
from bot.members import kept_scores, registry
from bot.members.kept_scores import KeptScores
from bot.members.member import Member, Unit
from bot.members.registry import Source
from bot.members.rows import EraRows, RawRows, Scores

NAMES = ("feature_a", "feature_b", "feature_c")
PREPROCESS = Preprocess(features=NAMES, groups={"all": (0, 1, 2)}, engineered=("group_mean",))
CODES = np.random.default_rng(3).integers(0, 5, (40, 3)).astype(np.int8)


@dataclass
class Counting:
    """A model that scores rows by their sums, and counts how often it did."""

    calls: int = 0
    names: tuple[str, ...] = ("mine",)
    made: list[Scores] = field(default_factory=list)

    def score(self, rows: EraRows) -> Mapping[str, Scores]:
        """Return a score of each row by member."""
        self.calls += 1
        sums = rows.prepared(PREPROCESS).features.sum(axis=1) + (0 if rows.benchmark is None else rows.benchmark)
        return {name: sums / (3.0 + number) for number, name in enumerate(self.names)}


def source(folder: Path, *, content: bytes = b"weights", kind: str = "linear", **options: Any) -> Source:
    """Return a model with one file."""
    folder.mkdir(exist_ok=True)
    (folder / "mine.json").write_bytes(content)
    owner = Member(name="mine", kind=kind, target="target", options=registry.find(kind).options(**options))
    return Source(unit=Unit(owner=owner), folder=folder, preprocess=PREPROCESS, open_network=pytest.fail)


def rows(codes: np.ndarray = CODES, **changes: Any) -> RawRows:
    """Return the rows of an era."""
    return RawRows(names=NAMES, values=codes, **changes)


def scored(kept: KeptScores, of: Source, model: Counting, era: RawRows) -> np.ndarray:
    """Return the scores of the only member."""
    score = kept.of(of)
    assert score is not None
    return np.asarray(score(model, era)["mine"])


def test_another_process_takes_the_scores_from_before(tmp_path: Path) -> None:
    """Saved scores are returned to the bit, and the model does not run."""
    first, model = KeptScores(folder=tmp_path / "kept"), Counting()
    before = scored(first, source(tmp_path / "model"), model, rows())
    first.save()

    again = scored(KeptScores(folder=tmp_path / "kept"), source(tmp_path / "model"), model, rows())

    assert model.calls == 1
    assert again.tobytes() == before.tobytes()
    assert again.dtype == before.dtype


def test_new_scores_are_saved_beside_those_from_before(tmp_path: Path) -> None:
    """A second judgement adds its eras to the file."""
    model = Counting()
    eras = [rows(), rows(CODES[::-1].copy()), rows(CODES[:20])]
    for era in eras:
        kept = KeptScores(folder=tmp_path / "kept")
        scored(kept, source(tmp_path / "model"), model, era)
        kept.save()
    kept = KeptScores(folder=tmp_path / "kept")
    for era in eras:
        scored(kept, source(tmp_path / "model"), model, era)

    assert model.calls == len(eras)


@pytest.mark.parametrize("changed", ["code", "order", "missing column", "benchmark", "history"])
def test_other_rows_are_scored(tmp_path: Path, changed: str) -> None:
    """One code, the order of rows, the benchmark or the history makes other rows."""
    kept, model, kind = KeptScores(folder=tmp_path / "kept"), Counting(), "linear"
    before, after = rows(), rows()
    if changed == "code":
        codes = CODES.copy()
        codes[7, 1] = (codes[7, 1] + 1) % 5
        after = rows(codes)
    elif changed == "order":
        after = rows(CODES[::-1].copy())
    elif changed == "missing column":
        after = rows(np.where(np.arange(3) == 1, 2, CODES).astype(np.int8))
    elif changed == "benchmark":
        after = rows(benchmark=np.linspace(0, 1, len(CODES)))
    else:
        kind = "tsmixer"
        targets = registry.find(kind).needs(source(tmp_path / "model", kind=kind).unit.owner).history
        returns = np.zeros((100, 3, len(targets)), np.float32)
        history = [
            HistoryState(
                features=NAMES,
                targets=targets,
                window=values,
                newest_era=dict.fromkeys(targets, "0100"),
                built_from_era="0110",
            )
            for values in (returns, returns + 0.01)
        ]
        before, after = rows(history=history[0]), rows(history=history[1])
    of = source(tmp_path / "model", kind=kind)
    scored(kept, of, model, before)
    scored(kept, of, model, after)

    assert model.calls == 2


@pytest.mark.parametrize("change", [{"content": b"other weights"}, {"alpha": 0.5}])
def test_another_model_is_scored(tmp_path: Path, change: dict[str, Any]) -> None:
    """A file or an option that differs makes another model."""
    kept, model = KeptScores(folder=tmp_path / "kept"), Counting()
    scored(kept, source(tmp_path / "a"), model, rows())
    scored(kept, source(tmp_path / "b", **change), model, rows())

    assert model.calls == 2


def test_an_equal_model_of_another_name_has_scores_by_its_own_name(tmp_path: Path) -> None:
    """A member that was renamed takes the scores of the same model, by the name that it has now."""
    kept = KeptScores(folder=tmp_path / "kept")
    first, second = source(tmp_path / "model"), source(tmp_path / "model")
    owner = replace(second.unit.owner, name="renamed")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "renamed.json").write_bytes(b"weights")
    renamed = replace(second, unit=Unit(owner=owner), folder=tmp_path / "other")
    before, after = kept.of(first), kept.of(renamed)
    assert before is not None
    assert after is not None
    model = Counting()

    assert {*before(model, rows())} == {"mine"}
    assert {*after(model, rows())} == {"renamed"}
    assert model.calls == 1


@pytest.mark.parametrize("kind", ["benchmark", "onnx", "command"])
def test_a_model_that_was_not_fitted_here_is_always_scored(tmp_path: Path, kind: str) -> None:
    """The scores of the benchmark, of a foreign file and of a program depend on more than the rows."""
    options = {"onnx": {"file": "mine.onnx"}, "command": {"command": ("./predict.py",)}}.get(kind, {})

    assert KeptScores(folder=tmp_path / "kept").of(source(tmp_path / "model", kind=kind, **options)) is None


@pytest.mark.parametrize("damage", ["flipped", "cut", "text"])
def test_a_damaged_file_costs_time_only(tmp_path: Path, damage: str) -> None:
    """Scores whose checksum differs are computed again, and saved."""
    kept, model = KeptScores(folder=tmp_path / "kept"), Counting()
    right = scored(kept, source(tmp_path / "model"), model, rows())
    kept.save()
    (file,) = (tmp_path / "kept").iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes({"flipped": bytes(content), "cut": bytes(content[:90]), "text": b"no scores"}[damage])

    again = KeptScores(folder=tmp_path / "kept")
    found = scored(again, source(tmp_path / "model"), model, rows())
    again.save()
    scored(KeptScores(folder=tmp_path / "kept"), source(tmp_path / "model"), model, rows())

    assert model.calls == 2
    assert found.tobytes() == right.tobytes()


def test_a_model_that_cannot_score_an_era_is_asked_again(tmp_path: Path) -> None:
    """Scores that lack a member are returned as they are."""
    kept, model = KeptScores(folder=tmp_path / "kept"), Counting(names=())
    score = kept.of(source(tmp_path / "model"))
    assert score is not None

    assert [dict(score(model, rows())) for _ in range(2)] == [{}, {}]
    assert model.calls == 2


def test_a_disk_that_takes_nothing_costs_the_scores_only(tmp_path: Path) -> None:
    """The judgement goes on without kept scores."""
    (tmp_path / "kept").write_text("a file where the folder belongs")
    kept = KeptScores(folder=tmp_path / "kept" / "inside")
    scored(kept, source(tmp_path / "model"), Counting(), rows())

    kept.save()


def test_old_scores_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores that were not used for 90 days go, and the oldest ones beyond the bytes that all may take."""
    for number in range(3):
        kept = KeptScores(folder=tmp_path / "kept")
        scored(kept, source(tmp_path / "model", content=bytes([number])), Counting(), rows())
        kept.save()
    files = sorted((tmp_path / "kept").iterdir(), key=lambda one: one.stat().st_mtime_ns)
    now = files[-1].stat().st_mtime
    os.utime(files[0], (now - kept_scores.KEPT_S - 60,) * 2)
    os.utime(files[1], (now - 60,) * 2)
    kept.save()
    assert set((tmp_path / "kept").iterdir()) == set(files[1:])

    monkeypatch.setattr(kept_scores, "KEPT_BYTES", files[2].stat().st_size)
    kept.save()
    assert set((tmp_path / "kept").iterdir()) == {files[2]}
