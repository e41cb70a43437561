"""
Which data version a recipe lives on: one rule for everything that downloads, trains, scores or tells.

BOT_DATA_VERSION is where a recipe begins. From its first champion on, a recipe is on its champion's version, whatever
the setting says: rounds are scored with that version's live file, history and benchmark, and `bot sync` keeps its data.
So the pin moves with the champion alone: by a challenger that was promoted, by `bot promote` and by `bot rollback`.

A setting that is newer than the champion's version is the operator's wish to move: `bot retrain` trains challengers on
it, and rounds go on as before until one of them is promoted. An older one changes nothing, so that nobody has to follow
a promotion by hand. ``bot retrain --data-version`` wishes the same, once.

An artifact is always scored with the version that its own manifest names; a champion from before the last move can
therefore still fill a round.
"""

from dataclasses import dataclass

from bot.errors import ArtifactInvalid, NoChampion
from bot.serving.artifacts import ArtifactStore
from bot.tournament.columns import version_order


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """
    Where a recipe stands.

    Attributes:
        recipe: Its name.
        champion: Version of its champion, ``None`` where it has none.
        setting: BOT_DATA_VERSION.
    """

    recipe: str
    champion: str | None
    setting: str

    @classmethod
    def of(cls, artifacts: ArtifactStore, recipe: str, setting: str) -> "Pin":
        """Read the pin of a recipe; a champion whose manifest is damaged leaves the word to the one before it."""
        try:
            champions = artifacts.champions(recipe)
        except (NoChampion, ArtifactInvalid):
            champions = ()
        said = filter(None, map(artifacts.data_version, champions))
        return cls(recipe=recipe, champion=next(said, None), setting=setting)

    @property
    def in_use(self) -> str:
        """Return the version that rounds are scored with, and that is kept up to date."""
        return self.champion or self.setting

    @property
    def to_train(self) -> str:
        """Return the version that `bot retrain` trains on where nobody names another."""
        return max(self.in_use, self.setting, key=version_order)

    @property
    def note(self) -> str:
        """Say where champion and setting differ, and what that means; empty where they agree."""
        if self.in_use == self.setting:
            return ""
        said = f"recipe {self.recipe}: champion on {self.champion}; BOT_DATA_VERSION says {self.setting}"
        return f"{said}, which `bot retrain` trains on" if self.to_train == self.setting else said
