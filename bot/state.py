"""
The bot for notebooks and programs: ``from bot import open_state``.

::

    state = open_state("state")
    state.status()                     # the JSON of `bot status --json`
    state.rounds(), state.scores()     # submissions and live scores, as values with names
    state.champion("standard")         # id of an artifact
    state.predict(frame)               # predictions of the rows of a pandas or polars frame
    state.columns("medium", ["target_ender_60"])    # the era store, for bot.data.store_views

Everything here reads: it uploads nothing, writes nothing, and needs no key and no network.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bot.errors import BadConfig, NoChampion, OperatorNeeded, SchemaMismatch
from bot.record.ledger import Entry, Ledger
from bot.serving.artifacts import ArtifactStore
from bot.system.configuration.setting_sources import STATE_DIR, choice, read_settings
from bot.tournament.columns import DEFAULT_DATA_VERSION, ERA, ID

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from bot.data.era_store import Columns, EraStore
    from bot.features.codes import Codes
    from bot.live.live_scores import LiveRound
    from bot.serving.scorer import Scorer

Mode = Literal["live", "dry-run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactSummary:
    """
    An artifact, as its manifest describes it.

    Attributes:
        id: Id of the artifact.
        recipe: Name of the recipe.
        created_at: Time of writing, ISO 8601 in UTC.
        data_version: Data version that it was trained on.
        target: Main target.
        champion: Whether it is the champion of its recipe.
        scores: Scores on the hold-out: of the ensemble and of each member, as the manifest lists them.
    """

    id: str
    recipe: str
    created_at: str
    data_version: str
    target: str
    champion: bool
    scores: dict[str, Any]


def open_state(folder: str | Path | None = None, *, mode: Mode | None = None) -> "State":
    """
    Open a state directory for reading.

    Args:
        folder: State directory; ``None`` takes that of ``BOT_STATE_DIR`` or ``bot.toml``, as the commands do.
        mode: Whether rounds are those of live mode or of dry runs; ``None`` takes ``BOT_MODE`` or ``bot.toml``.

    Raises:
        BadConfig: There is no such folder, or the settings cannot be read.
    """
    settings = read_settings() if folder is None or mode is None else {}
    path = Path(str(settings.get("state_dir", STATE_DIR))) if folder is None else Path(folder)
    if not path.is_dir():
        raise BadConfig(f"there is no state directory {path}; name the folder that the bot writes to")
    chosen: Mode = mode or ("live" if choice(settings, "mode", ("dry-run", "live")) == "live" else "dry-run")
    return State(folder=path, mode=chosen, data_version=str(settings.get("data_version", DEFAULT_DATA_VERSION)))


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """
    A state directory that is open for reading.

    Attributes:
        folder: The state directory.
        mode: Mode whose rounds are read.
        data_version: Data version of the store where none is named.
    """

    folder: Path
    mode: Mode
    data_version: str

    def status(self) -> dict[str, Any]:
        """Return rounds, champions, jobs and open problems as JSON values; :mod:`bot.web.status` lists the keys."""
        from bot.web.status import overview  # noqa: PLC0415 - each method loads what it needs alone

        return overview(self.folder, self._ledger, now=datetime.now(UTC))

    def round(self, number: int) -> dict[str, Any]:
        """
        Return everything that is kept of a round as JSON values: entries, gates, events, files and log.

        Raises:
            BadConfig: Nothing is kept of it.
        """
        from bot.web.status import post_mortem  # noqa: PLC0415

        found = post_mortem(self._ledger, number) if self._ledger.is_file() else {}
        if not found.get("slots") and not found.get("events"):
            raise BadConfig(f"round {number} is not in {self._ledger}")
        return found

    def rounds(self, *, limit: int = 10_000) -> tuple[Entry, ...]:
        """Return the newest *limit* submissions, oldest first; none where no round was played in this mode."""
        if not self._ledger.is_file():
            return ()
        with closing(Ledger(self._ledger, read_only=True)) as ledger:
            return tuple(sorted(ledger.entries(limit=limit), key=lambda one: (one.round, one.slot)))

    def scores(self, slot: str | None = None) -> "tuple[LiveRound, ...]":
        """Return the live scores and payouts of a slot, or of all, oldest round first. `bot scores` fetches new ones."""
        from bot.live.live_scores import LiveScores  # noqa: PLC0415

        if not self._ledger.is_file():
            return ()
        with closing(LiveScores(self._ledger, read_only=True)) as record:
            return record.rounds(slot)

    def artifacts(self) -> tuple[ArtifactSummary, ...]:
        """
        Return all artifacts, oldest first.

        Raises:
            ArtifactInvalid: A file of an artifact differs from its recorded sha256.
        """
        store, found = self._artifacts, []
        for identity in store.identities():
            about = store.open(identity).manifest
            recipe = str(about["recipe"]["name"])
            found.append(
                ArtifactSummary(
                    id=identity,
                    recipe=recipe,
                    created_at=str(about.get("created_at", "")),
                    data_version=str(about.get("data_version", "")),
                    target=str(about["target"]),
                    champion=store.has_champion(recipe) and store.champions(recipe)[0] == identity,
                    scores=dict(about["scores"]),
                )
            )
        return tuple(found)

    def champion(self, recipe: str | None = None) -> str:
        """
        Return the id of a recipe's champion, or of the only champion.

        Raises:
            NoChampion: There is none.
            BadConfig: *recipe* is ``None``, and several recipes have a champion.
        """
        if recipe is not None:
            return self._artifacts.champions(recipe)[0]
        known = self._artifacts.all_champions()
        if len(known) > 1:
            raise BadConfig(f"{len(known)} recipes have a champion; name one of {', '.join(known)}")
        if not known:
            raise NoChampion(f"no artifact in {self._artifacts.root} was promoted; run `bot retrain` first")
        return next(iter(known.values()))

    def predict(
        self,
        frame: "pd.DataFrame | pl.DataFrame",
        *,
        artifact: str | None = None,
        recipe: str | None = None,
        at: datetime | None = None,
    ) -> "pd.Series[float]":
        """
        Predict rows with an artifact, each era by itself, as a round does. Members that read the round's files are left out.

        Args:
            frame: Rows with the artifact's features as codes 0 to 4, and perhaps the columns ``id`` and ``era``.
            artifact: Id of an artifact; ``None`` takes the champion.
            recipe: Recipe of the champion; ``None`` takes the only one.
            at: Aware time of the round, by which the factor history is chosen; ``None`` takes now.

        Returns:
            Predictions between 0 and 1, uniform within each era. The index holds the ids, or the frame's own index.

        Raises:
            SchemaMismatch: The frame lacks a feature.
            ArtifactInvalid: The artifact is absent or damaged, or no member can score the rows.
            NoChampion: Nothing has been promoted yet.
        """
        import numpy as np  # noqa: PLC0415
        import pandas as pd  # noqa: PLC0415

        from bot.history.published import choose, history_path  # noqa: PLC0415
        from bot.members.rows import RawRows  # noqa: PLC0415
        from bot.serving.scorer import Scorer  # noqa: PLC0415

        scorer = Scorer(self._artifacts.open(artifact or self.champion(recipe)))
        values, known = _codes(frame, scorer), {*frame.columns}
        version = str(scorer.artifact.manifest.get("data_version", self.data_version))
        history = choose(scorer.history, history_path(self.folder, version), now=at or datetime.now(UTC))
        eras = np.asarray(frame[ERA]).astype(str) if ERA in known else np.full(len(frame), "")
        predictions = np.empty(len(frame))
        for era in dict.fromkeys(eras.tolist()):
            rows = eras == era
            raw = RawRows(names=scorer.features, values=np.ascontiguousarray(values[rows]), history=history)
            predictions[rows] = scorer.score(raw).predictions
        index = pd.Index(np.asarray(frame[ID]), name=ID) if ID in known else getattr(frame, "index", None)
        return pd.Series(predictions, index=index, name="prediction")

    def store(self, data_version: str | None = None) -> "EraStore":
        """
        Open the era store of a data version.

        Raises:
            OperatorNeeded: There is none.
            DatasetIncomplete: It is damaged.
        """
        from bot.data.era_store import EraStore  # noqa: PLC0415

        version = data_version or self.data_version
        place = EraStore.newest(self.folder / "store", version)
        if place is None:
            raise OperatorNeeded(f"no era store of {version} in {self.folder}; run `bot sync` first")
        return EraStore.open(place)

    def columns(
        self, features: str | Sequence[str], targets: Sequence[str] | None = None, *, data_version: str | None = None
    ) -> "Columns":
        """
        Select columns of the era store; nothing is read yet. :mod:`bot.data.store_views` reads them.

        Args:
            features: A feature set, such as ``small``, ``medium`` or ``all``, or names of features.
            targets: Names of targets; ``None`` takes all.
            data_version: Data version of the store.

        Raises:
            SchemaMismatch: The data version lacks one of them.
            OperatorNeeded: There is no store.
        """
        from bot.features.feature_sets import FeatureMetadata  # noqa: PLC0415

        store = self.store(data_version)
        if isinstance(features, str):
            path = self.folder / "data" / store.manifest.data_version / "features.json"
            features = FeatureMetadata.read(path).members(features)
        return store.select(features, store.manifest.targets if targets is None else targets)

    def comparisons(self) -> list[dict[str, Any]]:
        """Return the finished comparisons of recipes, newest first; see :mod:`bot.research.kept_comparisons`."""
        from bot.research.kept_comparisons import kept_comparisons  # noqa: PLC0415

        return kept_comparisons(self.folder)

    @property
    def _ledger(self) -> Path:
        return self.folder / ("ledger.sqlite" if self.mode == "live" else "ledger-dry-run.sqlite")

    @property
    def _artifacts(self) -> ArtifactStore:
        return ArtifactStore(self.folder / "artifacts")


def _codes(frame: "pd.DataFrame | pl.DataFrame", scorer: "Scorer") -> "Codes":
    """Return the features that an artifact reads as codes. Shape ``(rows, F)``, int8."""
    import numpy as np  # noqa: PLC0415

    from bot.features.codes import coded  # noqa: PLC0415

    known = {*frame.columns}
    absent = [name for name in scorer.features if name not in known]
    if absent:
        raise SchemaMismatch(
            f"the frame lacks {len(absent)} of {len(scorer.features)} features of artifact {scorer.artifact.id}:"
            f" {', '.join(absent[:3])}"
        )
    values = np.empty((len(frame), len(scorer.features)), dtype=np.int8)
    for place, name in enumerate(scorer.features):
        column: np.ndarray[Any, Any] = np.asarray(frame[name])
        if column.dtype == np.int8:
            values[:, place] = column
            continue
        try:
            values[:, place] = coded(column.astype(np.float32))
        except (ValueError, TypeError):  # None or text
            raise SchemaMismatch(f"the frame's {name} is {column.dtype} and holds no codes") from None
    return values
