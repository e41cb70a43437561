"""`bot pack`: make the signing key, write an artifact as one signed file, and publish it."""

from datetime import UTC, datetime
from pathlib import Path

import structlog

from bot import assembly
from bot.cli.answer import Answer
from bot.errors import BadConfig
from bot.packing.keys import make_key, public_bytes, read_key
from bot.packing.look_record import FILE, LookRecord
from bot.packing.pack_file import SUFFIX, pack
from bot.packing.public_keys import to_text
from bot.packing.storage import Storage
from bot.settings import Settings, load_settings
from bot.system import logs

log = structlog.get_logger()


def make_signing_key(path: Path | None) -> Answer:
    """
    Make the private key that signs packs; return its public half.

    Args:
        path: File of the key; by default that of the settings.
    """
    settings = load_settings()
    file = path or settings.signing_key_path
    public = to_text(make_key(file))
    lines = [
        f"signing key: {file} (keep it secret; only machines that train need it)",
        *([] if path is None else [f"on machines that train, set BOT_SIGNING_KEY={file}"]),
        f"on the machine that submits, set BOT_TRUSTED_KEYS={public}",
    ]
    return Answer(lines=tuple(lines), content={"signing_key": file, "public_key": public})


def pack_artifact(artifact: str | None, *, output: Path | None, key: Path | None, publish: bool) -> Answer:
    """
    Write the pack of an artifact, publish it if asked to, and return where it is.

    Args:
        artifact: Id of the artifact; by default the champion of the first recipe in use that has one.
        output: File to write; by default ``packs/<artifact>.pack`` in the state directory.
        key: File of the signing key; by default that of the settings.
        publish: Whether to publish it at BOT_ARTIFACTS_URL.
    """
    settings = load_settings()
    logs.configure(**settings.logging)
    if publish and settings.artifacts_url is None:
        raise BadConfig("BOT_ARTIFACTS_URL is not set; set it to the folder where your machines exchange packs")
    if publish and output is not None:
        raise BadConfig("--output and --publish exclude each other: a published pack has the name of its artifact")
    identity = assembly.find_artifact(settings, artifact)
    path = make_pack(settings, identity, output=output, key=key)
    size, signed_by = path.stat().st_size, to_text(public_bytes(read_key(key or settings.signing_key_path)))
    place = publish_pack(settings, path) if publish else str(path)
    return Answer(
        lines=(f"{'published' if publish else 'pack'}: {place} ({size:,} bytes, signed by {signed_by})",),
        content={"artifact": identity, "place": place, "published": publish, "bytes": size, "signed_by": signed_by},
    )


def make_pack(settings: Settings, artifact: str, *, output: Path | None = None, key: Path | None = None) -> Path:
    """
    Write the pack of an artifact; return its path.

    Raises:
        ArtifactInvalid: The artifact does not verify.
        BadConfig: There is no signing key, or the artifact cannot be judged elsewhere.
    """
    private = read_key(key or settings.signing_key_path)
    verified = assembly.open_artifacts(settings).open(artifact)
    path = output or settings.state_dir / "packs" / f"{verified.id}{SUFFIX}"
    pack(verified, path, private)
    return path


def publish_pack(settings: Settings, path: Path) -> str:
    """
    Copy a pack of this machine to the storage; return where it is. This machine never takes it from there.

    Raises:
        StorageUnavailable: The storage does not answer.
    """
    if settings.artifacts_url is None:
        raise BadConfig("BOT_ARTIFACTS_URL is not set")
    storage = Storage(settings.artifacts_url.get_secret_value())
    stored = storage.publish(path)
    LookRecord(settings.state_dir / FILE).keep(stored, "published", at=datetime.now(UTC).isoformat())
    path.unlink()  # the storage has it, and `bot pack` makes it again
    log.info("pack.published", pack=stored.name, bytes=stored.size, storage=storage.shown)
    return f"{storage.shown}/{stored.name}"
