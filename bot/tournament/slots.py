"""A slot: one model of a Numerai account and the recipe that fills it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """
    One of the account's models and the recipe that fills it.

    Attributes:
        name: Numerai's name of the model.
        model_id: Numerai's id of the model.
        recipe: Name of the recipe.
    """

    name: str
    model_id: str
    recipe: str
