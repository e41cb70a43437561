"""Slots: the models of an account and the recipes that fill them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One of the account's models and the recipe that fills it."""

    name: str
    model_id: str
    recipe: str
