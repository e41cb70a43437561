"""`bot promote` and `bot rollback`: the operator chooses a recipe's champion."""

from bot import assembly
from bot.cli.answer import Answer
from bot.errors import BotError
from bot.settings import load_settings
from bot.training import recipe_file


def promote_artifact(artifact: str) -> Answer:
    """Make an artifact the champion of the recipe it was trained for; return that, and what its gate decided."""
    store = assembly.open_artifacts(load_settings())
    artifact = store.find(artifact)
    manifest = store.open(artifact).manifest
    recipe, decision = manifest["recipe"]["name"], manifest.get("decision", {"promote": True})
    store.promote(recipe, artifact, by="operator")
    version = store.data_version(artifact)
    kept_back = None if decision["promote"] else str(decision["reason"])
    lines = [f"recipe {recipe}: champion is {artifact}, on {version}"]
    lines += [f"its gate had kept it back: {kept_back}"] if kept_back is not None else []
    content = {"recipe": recipe, "champion": artifact, "data_version": version, "kept_back": kept_back}
    return Answer(lines=tuple(lines), content={"promoted": [content]})


def roll_back(recipe: str | None) -> Answer:
    """Make the champion before the current one champion again, of *recipe* or of every recipe in use; return each, and the errors."""
    settings = load_settings()
    store, done = assembly.open_artifacts(settings), []
    failed: list[BotError] = []
    for name in [recipe] if recipe else assembly.recipes_in_use(settings):
        try:
            if not store.has_champion(name):
                recipe_file.find(name)  # the name may be wrong
            identity = store.rollback(name)
        except BotError as error:
            failed.append(error)
            continue
        done.append({"recipe": name, "champion": identity, "data_version": store.data_version(identity)})
    lines = (f"recipe {one['recipe']}: champion is {one['champion']}, on {one['data_version']}" for one in done)
    return Answer(lines=tuple(lines), content={"rolled_back": done}, errors=failed)
