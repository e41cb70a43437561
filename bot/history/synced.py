"""The result of a sync, apart from it: a machine that only submits reads recipes, and has no library that syncs."""

from dataclasses import dataclass

from bot.data.data_facts import DataFacts
from bot.data.era_store import EraStore
from bot.history.factor_history import FeatureReturns, HistoryState


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """
    Result of a sync.

    Attributes:
        changed: Names of the files that were downloaded.
        store: The complete history.
        returns: Returns of all features for the history targets.
        history: The published history for live rows.
        facts: Facts read from the data.
        findings: Messages about the data for the operator.
    """

    changed: tuple[str, ...]
    store: EraStore
    returns: FeatureReturns
    history: HistoryState
    facts: DataFacts
    findings: tuple[str, ...]
