"""`bot verify`: every artifact's files against their recorded sha256."""

from bot import assembly
from bot.cli.answer import Answer
from bot.errors import ArtifactInvalid
from bot.serving.artifacts import ArtifactStore
from bot.settings import load_settings


def verify_artifacts() -> Answer:
    """Open every artifact, which checks its files; return what is wrong with each, and an error where one is damaged."""
    store = assembly.open_artifacts(load_settings())
    found = {identity: _damage(store, identity) for identity in store.identities()}
    damaged = [identity for identity, damage in found.items() if damage]
    lines = [
        f"{identity}: damaged: {damage}" if damage else f"{identity}: intact" for identity, damage in found.items()
    ]
    error = ArtifactInvalid(
        f"{len(damaged)} of {len(found)} artifacts are damaged: {', '.join(damaged)};"
        " where one of them is a champion, `bot rollback` takes the one before it, and `bot retrain` makes another"
    )
    rows = [{"id": identity, "intact": not damage, "damage": damage} for identity, damage in found.items()]
    return Answer(
        lines=tuple(lines) or ("no artifacts yet; `bot retrain` makes one",),
        content={"artifacts": rows},
        errors=[error] if damaged else [],
    )


def _damage(store: ArtifactStore, identity: str) -> str | None:
    """Return what is wrong with an artifact, or ``None``."""
    try:
        store.open(identity)
    except ArtifactInvalid as error:
        return str(error)
    return None
