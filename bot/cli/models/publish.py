"""Publish a new artifact where a storage and a signing key are set. Their packages are imported there alone."""

import structlog
import typer

from bot.errors import BotError, OperatorNeeded, StorageUnavailable
from bot.settings import Settings


def check_storage(settings: Settings) -> None:
    """
    Check that a new artifact can be published where this machine has a storage and a signing key, before hours of training.

    A storage that does not answer now may answer then, so that is a warning.

    Raises:
        OperatorNeeded: A package is not installed.
        BadConfig: The storage's URL or the signing key cannot be used.
    """
    if settings.artifacts_url is None or not settings.signing_key_path.exists():
        return
    try:
        from bot.packing.keys import read_key  # noqa: PLC0415
        from bot.packing.storage import Storage  # noqa: PLC0415

        read_key(settings.signing_key_path)
        Storage(settings.artifacts_url.get_secret_value())
    except ModuleNotFoundError as error:
        raise OperatorNeeded(
            f"BOT_ARTIFACTS_URL is set, and a pack needs {error.name}: install numerai-bot[remote]"
        ) from None
    except StorageUnavailable as error:
        structlog.get_logger().warning("pack.storage_unavailable", reason=str(error))


def publish_new_artifact(settings: Settings, artifact: str) -> str | None:
    """
    Pack and publish an artifact where this machine has a storage and a signing key; return its place in the storage.

    An error is logged only: the artifact is judged already, and `bot pack --publish` publishes it later.
    """
    if settings.artifacts_url is None or not settings.signing_key_path.exists():
        return None
    try:
        from bot.cli.models.pack import make_pack, publish_pack  # noqa: PLC0415

        where = publish_pack(settings, make_pack(settings, artifact))
    except (BotError, OSError, ModuleNotFoundError) as error:
        todo = f"`bot pack {artifact} --publish` does it later"
        structlog.get_logger().warning("pack.not_published", artifact=artifact, reason=str(error), todo=todo)
        return None
    typer.echo(f"published: {where}")
    return where
