"""`bot unpack`: judge an artifact of another machine, from a file or from the storage, and promote it by the gate."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
import typer

from bot import assembly
from bot.cli.answer import Answer
from bot.cli.console import kept_bar
from bot.cli.models.decision import decision_content, show_decision
from bot.errors import ArtifactInvalid, BadConfig, BotError, RetryLater
from bot.judging.arrival import Received, Receiver
from bot.packing.look_record import FILE, LookRecord
from bot.packing.pack_file import SUFFIX, Unpacked, unpack
from bot.packing.public_keys import to_text
from bot.packing.storage import Storage, Stored
from bot.record.outbox import Outbox
from bot.settings import Settings, load_settings
from bot.system import logs
from bot.system.lock import state_lock
from bot.training import recipe_file

MOST_FILES = 20
"""Most files of the storage that one run looks at; the next run goes on."""

MOST_UNENDED = 2
"""Looks at a pack that may begin without an end."""

ALERT = "pack "
"""Beginning of the name of an alert about a pack; its file follows."""

log = structlog.get_logger()


def unpack_file(path: Path) -> Answer:
    """
    Judge the artifact of a pack, promote it by the gate or keep it back, and print and return the decision.

    Raises:
        BotError: The pack is refused, or cannot be judged now; the champion stays.
    """
    settings = load_settings()
    logs.configure(**settings.logging)
    with state_lock(settings.state_dir, "retrain"), _scratch(settings) as folder:
        unpacked = unpack(path, settings.public_keys, folder)
        received = _receive(settings, unpacked)
    return Answer(content={"judged": [_show(settings, unpacked, received)], "passed_over": []}, errors=[])


def unpack_latest(*, again: bool) -> Answer:
    """
    Look at each new pack of the storage once, newest first.

    The newest sound pack of a recipe is judged as by :func:`unpack_file`. Older ones of the recipe, and packs of recipes that
    no slot uses, are passed over. A pack that is refused is one line, one alert and an error of the answer, and does not stop
    the others.

    Args:
        again: Look again at packs that were refused.

    Raises:
        BotError: The storage failed.
    """
    settings = load_settings()
    logs.configure(**settings.logging)
    if settings.artifacts_url is None or not settings.public_keys:
        missing = "BOT_ARTIFACTS_URL" if settings.artifacts_url is None else "BOT_TRUSTED_KEYS"
        raise BadConfig(
            f"{missing} is not set; a look needs the storage's URL and the public key of the machine that trains"
        )
    with state_lock(settings.state_dir, "retrain"):
        storage = Storage(settings.artifacts_url.get_secret_value())
        return _Look(settings, storage).look(again=again)


class _Look:
    """One look at the storage."""

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self._settings, self._storage = settings, storage
        self._record = LookRecord(settings.state_dir / FILE)
        self._judged: list[dict[str, Any]] = []
        self._passed_over: list[dict[str, str]] = []

    def look(self, *, again: bool) -> Answer:
        """Look at the new packs; return what was judged and passed over, and the errors."""
        present = self._storage.files()
        new = [one for one in present if self._record.is_new(one, again=again)]
        if not new:
            typer.echo(f"{self._storage.shown}: no new pack among {len(present)}")
        failed = [error for one in new[:MOST_FILES] if (error := self._look_at(one)) is not None]
        self._record.forget_absent([one.name for one in present])
        self._resolve([one.name for one in present])
        return Answer(content={"judged": self._judged, "passed_over": self._passed_over}, errors=failed)

    def _look_at(self, stored: Stored) -> BotError | None:
        """Look at one pack and record the outcome; return its error. One that may pass is not recorded."""
        unended = self._record.begin(stored, at=_now().isoformat())
        try:
            if (
                unended >= MOST_UNENDED
            ):  # such as one whose model takes all memory: it would hold up all others for ever
                raise ArtifactInvalid(f"{unended} looks at {stored.name} began and did not end; unpack it by hand")
            with _scratch(self._settings) as folder:
                outcome = self._take(stored, folder)
        except RetryLater as error:
            log.warning("pack.delayed", pack=stored.name, reason=str(error))
            self._record.forget(stored)
            return error
        except BotError as error:
            log.warning("pack.refused", pack=stored.name, reason=str(error))
            self._record.keep(stored, "refused", at=_now().isoformat())
            self._alert(stored, error)
            return error
        self._record.keep(stored, outcome, at=_now().isoformat())
        return None

    def _take(self, stored: Stored, folder: Path) -> str:
        """Download a pack, verify it and judge its artifact; return the outcome."""
        download = folder / stored.name
        self._storage.download(stored, download)
        unpacked = unpack(download, self._settings.public_keys, folder)
        artifact = unpacked.artifact
        if f"{artifact.id}{SUFFIX}" != stored.name:  # an old pack under a newer name would hide the newer ones
            raise ArtifactInvalid(f"{stored.name} holds artifact {artifact.id}; a pack has the name of its artifact")
        recipe = str(artifact.required("recipe", "name"))
        judged = any(one["recipe"] == recipe for one in self._judged)
        if judged or recipe not in assembly.recipes_in_use(self._settings):
            why = "a newer one of its recipe was judged" if judged else f"no slot uses recipe {recipe}"
            typer.echo(f"{stored.name}: passed over, {why}")
            self._passed_over.append({"pack": stored.name, "reason": why})
            return "passed over"
        received = _receive(self._settings, unpacked)
        self._judged.append(_show(self._settings, unpacked, received))
        return "taken"

    def _alert(self, stored: Stored, error: BotError) -> None:
        body = f"{error}. The bot passes it over, and its champion stays; `bot unpack --latest --again` looks again."
        try:
            with closing(Outbox(self._settings.ledger_path)) as outbox:
                outbox.alert(f"{ALERT}{stored.name}", f"the pack {stored.name} was refused", body, at=_now())
        except BotError as unsent:
            log.warning("alert.delayed", trouble=f"{ALERT}{stored.name}", reason=str(unsent))

    def _resolve(self, present: list[str]) -> None:
        """Close the alerts of packs that are gone or were taken."""
        try:
            with closing(Outbox(self._settings.ledger_path)) as outbox:
                for name in outbox.open_alerts():
                    pack = name.removeprefix(ALERT)
                    if name.startswith(ALERT) and not (pack in present and self._record.was_refused(pack)):
                        outbox.resolve(name, "it is gone, or was taken", at=_now())
        except BotError as unsent:
            log.warning("alert.delayed", trouble=ALERT, reason=str(unsent))


def _receive(settings: Settings, unpacked: Unpacked) -> Received:
    """Judge an artifact by this machine's recipe of the same name."""
    name = str(unpacked.artifact.required("recipe", "name"))
    recipe = recipe_file.find(name)
    names = dict.fromkeys([*assembly.recipes_in_use(settings), name])
    pins = {pin.recipe: pin for pin in assembly.announce(assembly.pins(settings, list(names)))}
    version, pin = unpacked.artifact.manifest.get("data_version"), pins[name]
    plan = assembly.resolve_recipe(settings, recipe, data_version=pin.in_use if version == pin.in_use else pin.to_train)
    with kept_bar(settings.state_dir, "unpack") as report_progress:
        receiver = Receiver(
            client=assembly.open_client(settings),
            artifacts=assembly.open_artifacts(settings),
            state_dir=settings.state_dir,
            needed=assembly.versions(pins.values()),
            ledger_path=settings.ledger_path,
            report_progress=report_progress,
        )
        return receiver.receive(unpacked, plan)


@contextmanager
def _scratch(settings: Settings) -> Iterator[Path]:
    """Yield an empty private folder in the state directory; remove it in the end."""
    for left in settings.state_dir.glob("unpack-*/"):  # by a command that was killed; only one runs at a time
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix="unpack-", dir=settings.state_dir) as folder:
        yield Path(folder)


def _show(settings: Settings, unpacked: Unpacked, received: Received) -> dict[str, Any]:
    """Print and return the decision, and write the page about the artifact where that is possible."""
    note = f"; trained elsewhere as {unpacked.artifact.id}, signed by {to_text(unpacked.key)}"
    show_decision(received.artifact, received.scores, received.decision, note=note)
    content = {
        **decision_content(received.artifact, received.scores, received.decision),
        "trained_as": unpacked.artifact.id,
        "signed_by": to_text(unpacked.key),
        "report": None,
    }
    try:
        # A machine that only judges has no onnx, which the page needs.
        from bot.cli.evaluation import report_new_artifact  # noqa: PLC0415
    except ModuleNotFoundError as error:
        typer.echo(f"no report: {error.name} is not installed; install numerai-bot[train] to write it")
        return content
    return {**content, "report": report_new_artifact(settings, received.artifact.id)}


def _now() -> datetime:
    return datetime.now(UTC)
