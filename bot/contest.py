"""Challenger and champion on the hold-out: everything that is known of a challenger when it is judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bot.artifacts import ArtifactStore
from bot.errors import BotError, NoChampion
from bot.judge import ENSEMBLE, Candidate, Judged, correlations, judge, judged_candidate, unseen
from bot.leaks import Used, inspect
from bot.opinions import Opinions
from bot.promotion import Comparison, Evidence, Series
from bot.refresh import Refreshed
from bot.scorer import GOLDEN_TOLERANCE
from bot.summaries import max_drawdown
from bot.tracking import Watcher

JUDGED = "judged-"
"""Prefix of the models that have not seen the hold-out, beside those that serve."""

TARGET_VARIANCE = 0.8
"""Of a target in steps of one bin: ``2 * (0.05 * 2**2 + 0.20 * 1**2)``, by Numerai's shares of the five bins."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """
    What came of scoring the hold-out.

    Attributes:
        challenger: Its scores there.
        champion: The champion's, on the eras that neither has seen; ``None`` where there is none to score.
        champion_id: Of the champion, scored or not.
        evidence: What the decision rests on.
    """

    challenger: Judged
    champion: Judged | None
    champion_id: str | None
    evidence: Evidence


def hold(
    challenger: Candidate,
    positions: Sequence[int],
    *,
    target: str,
    fresh: Refreshed,
    data_folder: Path,
    artifacts: ArtifactStore,
    recipe: str,
    used: Sequence[Used],
    suspicious: float,
    served: Mapping[str, float],
    watch: Watcher,
) -> Contest:
    """
    Score the challenger on the eras at *positions*, and the champion where neither has seen them.

    Args:
        challenger: Members that have not seen these eras.
        positions: The hold-out.
        target: Main target.
        fresh: The data.
        data_folder: Of the synced files.
        artifacts: Where the champion is.
        recipe: Whose champion.
        used: Eras that shaped the challenger's members.
        suspicious: CORR over which a leak is to be feared.
        served: ``golden`` and ``latency_s`` of the models that would serve.
        watch: Told about progress.
    """
    opinions = Opinions.read(data_folder, fresh.store, positions, target=target)
    ours, predictions = judge(challenger, positions, target=target, opinions=opinions, watch=watch)
    missing, theirs, comparison, champion_id = dict(opinions.absent), None, None, None
    try:
        champion_id = artifacts.champions(recipe)[0]
        artifact = artifacts.open(champion_id)
        common = unseen(artifact, positions, fresh.store.eras)
        rival = judged_candidate(artifact, fresh.store, fresh.returns, (target,))
        theirs, rival_predictions = judge(rival, common, target=target, opinions=opinions, watch=watch)
        comparison = _compare(champion_id, ours, theirs, correlations(predictions, rival_predictions))
    except NoChampion:
        pass
    except (BotError, ValueError, KeyError, OSError) as error:
        missing["champion"] = f"not compared with {champion_id}: {error}"
    evidence = Evidence(
        corr=_series(ours, "corr"),
        contributions={name: _series(ours, name) for name in opinions.by_era},
        drawdown=max_drawdown(ours.scores["corr"][ENSEMBLE]),
        exposure=float(ours.exposure.mean()),
        golden=served["golden"],
        golden_limit=GOLDEN_TOLERANCE,
        latency_s=served["latency_s"],
        leaks=inspect(
            challenger.data,
            positions,
            used,
            target=target,
            corr=ours.scores["corr"][ENSEMBLE],
            suspicious=suspicious,
        ),
        comparison=comparison,
        not_computed=missing,
    )
    return Contest(challenger=ours, champion=theirs, champion_id=champion_id, evidence=evidence)


def _compare(champion: str, ours: Judged, theirs: Judged, correlation: Floats) -> Comparison:
    """Return the paired differences on the champion's eras, which are the newest of ours."""
    count = len(theirs.eras)
    unlike = np.sqrt(2 * np.clip(1 - np.nan_to_num(correlation), 0, None))
    differences = {}
    for name in ours.scores:
        mine, other = _series(ours, name), _series(theirs, name)
        differences[name] = Series(values=mine.values[-count:] - other.values, noise=other.noise * unlike)
    return Comparison(champion=champion, differences=differences, correlation=correlation)


def _series(judged: Judged, score: str) -> Series:
    """Return the ensemble's scores with the noise of finite rows; of a contribution, at most this much."""
    rows = np.maximum(judged.rows, 2)
    noise = np.sqrt(1 / (rows - 1)) if score == "corr" else np.sqrt(TARGET_VARIANCE / rows)
    return Series(values=judged.scores[score][ENSEMBLE], noise=noise)
