"""
Generate a world: a data set in the shape of v5.3, and live eras on demand for any number of rounds.

::

    world/
      v5.3/            features.json, train, validation, meta model, benchmarks, example predictions
      rounds/<k>/      live files of the k-th live era and truth.npz (its targets), made at the first access
      truth/           world.json and market.npz: state of the market that the data files do not show
      later/v5.4/      the next data version; rounds/<k>/v5.4/ holds its live files; made when a tournament offers it
"""

import json
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.sandbox.world._files import HistoryWriter, write_example, write_features, write_live
from bot.sandbox.world._market import Era, Market
from bot.sandbox.world.schema import SIZES, WorldSize, make_schema
from bot.sandbox.world.upgrade import NEXT, upgrade
from bot.tournament.columns import SPANNED_ERAS

VERSION = "v5.3"
META_SHARE = 0.6
"""The meta model's file begins after this share of the validation eras, as the real one begins at era 1133."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveEra:
    """
    A live era: its files, and its values that the files do not show.

    Attributes:
        folder: Folder of live.parquet, live_benchmark_models.parquet and live_example_preds as parquet and CSV.
        ids: Ids in file order.
        targets: Resolved targets by name. Shape ``(rows,)`` each.
        meta_model: Predictions of the meta model. Shape ``(rows,)``, inside (0, 1).
        benchmark: Predictions of ``v53_lgbm_ender60``. Shape ``(rows,)``, inside (0, 1).
    """

    folder: Path
    ids: list[str]
    targets: Mapping[str, npt.NDArray[np.float64]]
    meta_model: npt.NDArray[np.float64]
    benchmark: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReferencePredictions:
    """
    Predictions of Numerai's own models for one era, inside (0, 1).

    Attributes:
        meta_model: Predictions of the meta model. Shape ``(rows,)``.
        benchmarks: Predictions of the benchmark models by name. Shape ``(rows,)`` each.
    """

    meta_model: npt.NDArray[np.float64]
    benchmarks: dict[str, npt.NDArray[np.float64]]


class World:
    """A generated world on disk. :func:`generate` makes one, :meth:`open` opens one."""

    data_version = VERSION

    def __init__(
        self,
        directory: Path,
        size: WorldSize,
        *,
        seed: int,
        persistence: float,
        benchmark_share: float = 1.0,
        benchmark_noise: float = 1.0,
    ) -> None:
        self.directory = directory
        self._benchmark_noise = benchmark_noise
        self._seed = seed
        self._schema = make_schema(size, seed)
        self._market = Market(size, self._schema, seed=seed, persistence=persistence, benchmark_share=benchmark_share)

    @classmethod
    def open(cls, directory: Path) -> "World":
        """
        Open a generated world.

        Raises:
            FileNotFoundError: *directory* holds no world.
        """
        about = json.loads((directory / "truth" / "world.json").read_text(encoding="utf-8"))
        about["size"]["rows"] = tuple(about["size"]["rows"])
        world = cls(
            directory,
            WorldSize(**about["size"]),
            seed=about["seed"],
            persistence=about["persistence"],
            benchmark_share=about.get("benchmark_share", 1.0),
            benchmark_noise=about.get("benchmark_noise", 1.0),
        )
        world._rewind()
        return world

    @property
    def played(self) -> int:
        """Return how many live eras exist; the next one is new to every bot."""
        return sum(1 for folder in self.directory.glob("rounds/[0-9]*") if (folder / "truth.npz").is_file())

    def live(self, k: int) -> LiveEra:
        """Return the *k*-th live era after the history; make it if needed. Its content does not depend on the order of calls."""
        folder = self.directory / "rounds" / str(k)
        if not (folder / "truth.npz").is_file():
            if self._market.given - self._market.history > k:
                self._rewind()
            while True:
                number = self._market.given - self._market.history
                era = self._market.next_era()
                self._publish(era, self.directory / "rounds" / str(number))
                if number == k:
                    break
        truth = np.load(folder / "truth.npz", allow_pickle=False)
        return LiveEra(
            folder=folder,
            ids=[str(identity) for identity in truth["ids"]],
            targets={name: truth[name].astype(np.float64) for name in truth.files if name.startswith("target")},
            meta_model=truth["meta_model"],
            benchmark=truth["benchmark"],
        )

    def folder(self, version: str) -> Path:
        """Return the folder of a data version; make it for the next version if needed."""
        if version != NEXT:
            return self.directory / version
        return upgrade(self.directory / VERSION, self.directory / "later" / NEXT, self._schema.features)

    def live_folder(self, era: LiveEra, version: str) -> Path:
        """Return the folder of a live era's files in a data version."""
        if version != NEXT:
            return era.folder if version == VERSION else self.directory / version
        return upgrade(era.folder, era.folder / NEXT, self._schema.features)

    def _publish(self, era: Era, folder: Path) -> None:
        if (folder / "truth.npz").is_file():
            return
        staging = folder.with_name(f".{folder.name}-{os.getpid()}")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        reference = _reference_predictions(era, self._seed, self._benchmark_noise)
        write_live(staging, self._schema, era, reference.benchmarks)
        truth: dict[str, Any] = {
            "ids": np.array(era.ids),
            "meta_model": reference.meta_model,
            "benchmark": reference.benchmarks["v53_lgbm_ender60"],
            **era.targets,
        }
        np.savez(staging / "truth.npz", **truth)
        if not folder.exists():
            staging.rename(folder)

    def _rewind(self) -> None:
        state = np.load(self.directory / "truth" / "market.npz", allow_pickle=False)
        self._market.restore({name: state[name] for name in state.files})

    def _write_history(self, size: WorldSize) -> None:
        """Step the market through the history and write its files, era by era."""
        folder = self.directory / VERSION
        folder.mkdir(parents=True)
        write_features(folder / "features.json", self._schema)
        last = size.train_eras + size.validation_eras
        meta_from = size.train_eras + int(size.validation_eras * META_SHARE)
        # One era is written while the market makes the next one; two cores then take half the time at full width.
        with HistoryWriter(folder, self._schema) as writer, ThreadPoolExecutor(1) as second:
            writing: Future[None] | None = None
            for position in range(last):
                era = self._market.next_era()
                reference = _reference_predictions(era, self._seed, self._benchmark_noise)
                if writing:
                    writing.result()
                writing = second.submit(
                    writer.add,
                    era,
                    label=f"{position + 1:04d}",
                    part="train" if position < size.train_eras else "validation",
                    hidden=_unresolved(era, last - position),
                    meta=reference.meta_model if position >= meta_from else None,
                    benchmarks=reference.benchmarks,
                )
            if writing:
                writing.result()
        write_example(folder / "validation_example_preds")


def generate(
    directory: Path,
    *,
    size: str | WorldSize = "tiny",
    seed: int = 1,
    persistence: float = 0.15,
    benchmark_share: float = 1.0,
    benchmark_noise: float = 1.0,
) -> World:
    """
    Generate a world.

    Args:
        directory: Folder of the world. Files of an interrupted call are replaced.
        size: ``tiny``, ``small``, ``full``, or a ``WorldSize``.
        seed: Seed; the same seed gives the same files.
        persistence: Share of the factor returns' variance that lasts from week to week. At 0, past factor returns
            predict nothing. The default is what real scores imply: a published model's CORR on v4 and v5.3 has an autocorrelation of
            .07 to .10 at a lag of four weeks, at which 20-day returns no longer overlap, and a standard deviation of .018
            to .025, of which samples of 5,500 rows explain .0135. So .14 to .16 of the rest lasts.
        benchmark_share: Share of the features whose lasting part benchmark and meta model predict. At 1 they predict all of
            the lasting signal; below, a part of it is left for other models.
        benchmark_noise: Factor of their noise. At 1 a well trained model is better than they are.

    Raises:
        FileExistsError: *directory* already holds a complete world.
    """
    if (directory / "truth" / "world.json").exists():
        raise FileExistsError(f"{directory} holds a world already")
    for name in (VERSION, "rounds", "truth", "later"):
        shutil.rmtree(directory / name, ignore_errors=True)
    chosen = SIZES[size] if isinstance(size, str) else size
    world = World(
        directory,
        chosen,
        seed=seed,
        persistence=persistence,
        benchmark_share=benchmark_share,
        benchmark_noise=benchmark_noise,
    )
    world._write_history(chosen)  # noqa: SLF001 - the class and this function share one module
    truth = directory / "truth"
    truth.mkdir()
    np.savez(truth / "market.npz", **world._market.state())  # noqa: SLF001 - the class and this function share one module
    about = {
        "size": asdict(chosen),
        "seed": seed,
        "persistence": persistence,
        "benchmark_share": benchmark_share,
        "benchmark_noise": benchmark_noise,
    }
    # Written last: a world is complete when it has this file.
    (truth / "world.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    return world


def _unresolved(era: Era, weeks_left: int) -> frozenset[str]:
    """Return the targets that are NaN in the file: 20D in the last 5 eras, 60D in the last 13."""
    hidden = {f"_{days}" for days, weeks in SPANNED_ERAS.items() if weeks_left <= weeks + 1}
    names = {name for name in era.targets if name[-3:] in hidden}
    return frozenset(names | ({"target"} if "_60" in hidden else set()))


def _reference_predictions(era: Era, seed: int, factor: float) -> _ReferencePredictions:
    """Return predictions of meta model and benchmarks: ranks of the part of the lasting signal that they predict, plus noise."""
    random = np.random.default_rng([seed, 5, int(era.ids[0][1:9], 16)])

    def ranked(noise: float) -> npt.NDArray[np.float64]:
        values = era.known + factor * noise * random.normal(size=len(era.known))
        ranks: npt.NDArray[np.float64] = (np.argsort(np.argsort(values)) + 0.5) / len(values)
        return ranks

    # The order of these calls decides the draws.
    meta_model = ranked(1.0)
    benchmarks = {"v53_lgbm_ender20": ranked(1.6), "v53_lgbm_ender60": ranked(1.3)}
    return _ReferencePredictions(meta_model=meta_model, benchmarks=benchmarks)
