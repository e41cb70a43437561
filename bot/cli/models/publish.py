"""Publish a new artifact where a storage and a signing key are set."""

import structlog
import typer

from bot.errors import BotError
from bot.settings import Settings


def publish_new_artifact(settings: Settings, artifact: str) -> str | None:
    """
    Pack and publish an artifact where this machine has a storage and a signing key; return its place in the storage.

    An error is logged only: the artifact is judged already, and `bot pack --publish` publishes it later.
    """
    if settings.artifacts_url is None or not settings.signing_key_path.exists():
        return None
    try:
        # Late, because only machines with a storage have its packages.
        from bot.cli.models.pack import make_pack, publish_pack  # noqa: PLC0415

        where = publish_pack(settings, make_pack(settings, artifact))
    except (BotError, OSError, ModuleNotFoundError) as error:
        todo = f"`bot pack {artifact} --publish` does it later"
        structlog.get_logger().warning("pack.not_published", artifact=artifact, reason=str(error), todo=todo)
        return None
    typer.echo(f"published: {where}")
    return where
