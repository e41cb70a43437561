"""The page "Models": champions and challengers of each recipe as cards, with verdict, report, and hold-out CORR as a line."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.web.content.artifact_files import ArtifactFiles, all_artifacts
from bot.web.content.marks import sparkline

SHOWN = 12
"""Newest challengers of a recipe that have a card; a champion has one in any case."""

Card = dict[str, Any]


def model_cards(
    state_dir: Path, champions: Mapping[str, str], diagnostics: Mapping[str, Any], now: datetime
) -> list[dict[str, Any]]:
    """
    Return the recipes by name, each with its cards: the champion first, then the others, newest first.

    Args:
        state_dir: The state directory.
        champions: Champion's id by recipe.
        diagnostics: Numerai's diagnostics by artifact.
        now: Current time, aware UTC.
    """
    recipes: dict[str, list[Card]] = {}
    for one in all_artifacts(state_dir):
        champion = champions.get(one.recipe)
        card = _card(one, champion, now) | {
            "diagnostics": diagnostics.get(one.id),
            "report": (state_dir / "reports" / f"{one.id}.html").is_file(),
        }
        recipes.setdefault(one.recipe, []).append(card)
    found = []
    for recipe, cards in sorted(recipes.items()):
        cards.sort(key=lambda card: not card["champion"])  # keeps the order of the others
        kept = cards[: SHOWN + 1]
        found.append({"recipe": recipe, "cards": kept, "older": len(cards) - len(kept)})
    return found


def _card(one: ArtifactFiles, champion: str | None, now: datetime) -> Card:
    decision = one.manifest.get("decision")
    decided = decision if isinstance(decision, dict) else {}
    promoted = bool(decided.get("promote"))
    series = one.series("corr")
    about = f"cumulative CORR of {len(series)} eras of the hold-out"
    return {
        "id": one.id, "recipe": one.recipe, "day": one.day, "age": one.age(now),
        "corr": one.summary("mean"), "sharpe": one.summary("sharpe"), "eras": len(series), "champion": one.id == champion,
        "verdict": "champion" if one.id == champion else "promoted" if promoted else "not promoted",
        "reason": decided.get("reason", ""), "line": sparkline(series, about), "version": one.manifest.get("data_version", ""),
        "rival": champion if champion not in (None, one.id) else None,
    }  # fmt: skip
