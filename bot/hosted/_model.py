"""
Score Numerai's data frames with a packed artifact on Numerai's machines, with the code that scores a live round here.

:mod:`bot.hosted.export` packs this module and every module that it imports beside the artifact's files. None of them may
need more than Numerai's image has: numpy, pandas and onnx, but neither onnxruntime nor structlog.
"""

import json
import logging
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from bot.errors import SchemaMismatch
from bot.features.codes import coded
from bot.history.factor_history import HistoryState
from bot.members.rows import RawRows
from bot.scoring.coverage import COVERAGE, if_covered
from bot.serving.artifacts import MANIFEST, Artifact
from bot.serving.scorer import Scorer
from bot.tournament.columns import ERA, LIVE_ERA, PREDICTION
from models.inference.reference import ReferenceNetwork

LIVE_HISTORY = "live-history.npz"
"""File with the history of live rows: the newest one when the artifact was packed."""

log = logging.getLogger("numerai-bot")


class Hosted:
    """
    A packed artifact ready to score; opening it replays the golden batch.

    Args:
        folder: Folder of the artifact's files, with the history where its network needs one.

    Raises:
        ArtifactInvalid: A file does not load, or the golden batch does not replay on this machine.
    """

    def __init__(self, folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        self._scorer = Scorer(
            Artifact(id=manifest["id"], folder=folder, manifest=manifest), open_network=ReferenceNetwork
        )
        state = folder / LIVE_HISTORY
        self._history = HistoryState.from_bytes(state.read_bytes()) if state.is_file() else None

    def predict(self, features: pd.DataFrame, benchmarks: pd.DataFrame | None = None) -> pd.DataFrame:
        """
        Score the rows of Numerai's data frames, era by era.

        Live rows are scored with the history until it is stale. Rows of other eras, which Numerai's diagnostics use, are
        scored without it: eras that have resolved since were not known then. The network was trained for a masked history.

        Args:
            features: Feature columns and ``era``, indexed by id.
            benchmarks: Predictions of Numerai's benchmark models, indexed by id.

        Returns:
            The one column ``prediction``, uniform in (0, 1) within each era, with the index of *features*.

        Raises:
            SchemaMismatch: A feature that the artifact was trained with is missing, comes twice or holds no numbers, or the
                features have a new coding.
        """
        self._refuse_repeated(features)
        eras = features[ERA].astype(str).to_numpy() if ERA in features.columns else np.full(len(features), LIVE_ERA)
        predictions = np.empty(len(features))
        for era in np.unique(eras):
            rows = np.flatnonzero(eras == era)
            history = self._known_history(str(era), datetime.now(UTC))
            predictions[rows] = self._score(features.iloc[rows], benchmarks, history)
        return pd.DataFrame({PREDICTION: predictions}, index=features.index)

    def _refuse_repeated(self, features: pd.DataFrame) -> None:
        """Refuse a frame with a column twice: pandas returns both columns of the name."""
        twice = set(features.columns[features.columns.duplicated()]) & {ERA, *self._scorer.features}
        if twice:
            raise SchemaMismatch(f"the frame has {len(twice)} columns twice, {min(twice)} first")

    def _known_history(self, era: str, now: datetime) -> HistoryState | None:
        """Return the history for the rows of an era; ``None`` masks it."""
        if self._history is None or era != LIVE_ERA:
            return None
        stale_after = self._history.stale_after
        if stale_after is not None and now > stale_after:
            log.warning("the history is stale since %s and is masked: export the model again", stale_after)
            return None
        return self._history

    def _score(
        self, rows: pd.DataFrame, benchmarks: pd.DataFrame | None, history: HistoryState | None
    ) -> npt.NDArray[np.float64]:
        names = [name for name in self._scorer.features if name in rows.columns]
        benchmark = self._benchmark(rows.index, benchmarks)
        scored = self._scorer.score(
            RawRows(names=names, values=_codes(rows[names]), history=history, benchmark=benchmark)
        )
        for finding in scored.prepared.findings:
            log.warning("%s", finding)
        return np.asarray(scored.predictions)

    def _benchmark(self, ids: pd.Index, benchmarks: pd.DataFrame | None) -> npt.NDArray[np.float64] | None:
        """Return the benchmark's predictions of some rows; ``None`` where they are not needed or cover too few rows."""
        column = self._scorer.benchmark
        if column is None:
            return None
        if benchmarks is None or list(benchmarks.columns).count(column) != 1:
            log.warning("there is no benchmark model %s, or it comes twice: nothing is neutralized", column)
            return None
        known = benchmarks[column][~benchmarks.index.duplicated(keep="last")]
        try:
            values = known.reindex(ids).to_numpy(dtype=np.float64, na_value=np.nan)
        except (ValueError, TypeError):
            log.warning("%s holds no numbers: nothing is neutralized", column)
            return None
        found = if_covered(np.where(np.isfinite(values), values, np.nan))
        if found is None:
            log.warning("%s covers fewer than %.0f %% of the rows: nothing is neutralized", column, 100 * COVERAGE)
        return found


def _codes(features: pd.DataFrame) -> npt.NDArray[np.int8]:
    """Return features as codes; columns that are not int8 are converted one by one, to save memory."""
    if (features.dtypes == np.int8).all():
        return features.to_numpy()
    codes = np.empty(features.shape, dtype=np.int8)
    for position, name in enumerate(features.columns):
        codes[:, position] = _column(features[name])
    return codes


def _column(values: pd.Series) -> npt.NDArray[np.int8]:
    """Return one feature as codes, however the frame holds it."""
    if values.dtype.kind not in "mMb":  # pandas converts times and truth values to numbers without a word
        with suppress(ValueError, TypeError):
            return coded(values.to_numpy(dtype=np.float64, na_value=np.nan))
    raise SchemaMismatch(f"{values.name} is {values.dtype} and holds no codes; retrain on this data version")
