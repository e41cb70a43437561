"""
The data version of a recipe: one rule for all code that downloads, trains, scores or reports.

A recipe without a champion uses BOT_DATA_VERSION. From its first champion on, it uses its champion's version, whatever the
setting is: rounds are scored with that version's live file, history and benchmark, and `bot sync` keeps its data.
So the version changes only with the champion: by a promoted challenger, by `bot promote` or by `bot rollback`.

A setting newer than the champion's version takes effect only when a challenger trained on it is promoted: `bot retrain`
trains challengers on it, and rounds stay with the champion until then. An older setting changes nothing, so that no
setting has to be changed after a promotion. ``bot retrain --data-version`` does the same once.

An artifact is always scored with the version in its own manifest, so a champion of an earlier version can still fill a
round.
"""

from dataclasses import dataclass

from bot.errors import ArtifactInvalid, NoChampion
from bot.serving.artifacts import ArtifactStore
from bot.tournament.columns import version_order


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """
    Data versions of a recipe.

    Attributes:
        recipe: Name of the recipe.
        champion: Version of its champion, ``None`` where it has none.
        setting: BOT_DATA_VERSION.
    """

    recipe: str
    champion: str | None
    setting: str

    @classmethod
    def of(cls, artifacts: ArtifactStore, recipe: str, setting: str) -> "Pin":
        """Read the pin of a recipe; where the champion's manifest is damaged, use the champion before it."""
        try:
            champions = artifacts.champions(recipe)
        except (NoChampion, ArtifactInvalid):
            champions = ()
        versions = filter(None, map(artifacts.data_version, champions))
        return cls(recipe=recipe, champion=next(versions, None), setting=setting)

    @property
    def in_use(self) -> str:
        """Return the version that rounds are scored with and that `bot sync` keeps up to date."""
        return self.champion or self.setting

    @property
    def to_train(self) -> str:
        """Return the version that `bot retrain` trains on without ``--data-version``."""
        return max(self.in_use, self.setting, key=version_order)

    @property
    def note(self) -> str:
        """Return a line on the difference between champion and setting; empty where they agree."""
        if self.in_use == self.setting:
            return ""
        line = f"recipe {self.recipe}: champion on {self.champion}; BOT_DATA_VERSION is {self.setting}"
        return f"{line}, which `bot retrain` trains on" if self.to_train == self.setting else line
