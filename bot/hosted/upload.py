"""
Upload a checked pickle for a slot that Numerai runs, and see it run there (`bot export numerai-model --upload`).

The story: find the pickle on the server -> record the intent -> upload -> wait for Numerai's validation -> assign -> read
back which pickle the slot runs -> record it. The slot runs its earlier pickle until the last step, so that an interruption
anywhere leaves it as it was. The next run finds the upload by its id, or by the digest in its file name, and goes on.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from bot.errors import BadConfig, BadCredentials, NumeraiUnavailable, OperatorNeeded, RefuseToSubmit, RetryLater
from bot.hosted._environment import this_python
from bot.hosted.export import Export
from bot.record.hosted import HostedPickle, HostedRecord
from bot.system.progress import ProgressCallback
from bot.tournament.client import NumeraiClient
from bot.tournament.responses import Pickle

SCOPE = "upload_submission"
"""Scope of an API key that may upload pickles."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0
"""Seconds between two polls of the validation: doubled from the first to the longest."""

READ_BACKS = 5
"""Most looks at the slot after the assignment."""

AGAIN = "run the same command again"
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """
    What Numerai runs a pickle with.

    Attributes:
        data_version_id: Numerai's id of the data version.
        image_id: Numerai's id of the image.
        image: Name of the image.
    """

    data_version_id: str
    image_id: str
    image: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosting:
    """
    A slot that runs the pickle.

    Attributes:
        slot: Name of the model.
        pickle: Numerai's id of the upload.
        filename: Name of the file on the server.
        validation: State of Numerai's validation.
        replaced: File name of the pickle that the slot ran before; empty where there was none.
        steps: What was done, as sentences.
    """

    slot: str
    pickle: str
    filename: str
    validation: str
    replaced: str
    steps: tuple[str, ...]


def find_runtime(client: NumeraiClient, *, data_version: str) -> Runtime:
    """
    Return what Numerai offers for a pickle of this interpreter; call it before a pickle is made.

    Args:
        client: Client with the key of the slot's account.
        data_version: Data version of the artifact.

    Raises:
        BadCredentials: The key may not upload.
        OperatorNeeded: Numerai offers no such image or data version.
    """
    python = this_python()
    scopes = client.scopes()
    if scopes and SCOPE not in scopes:  # where the API lists none, it says so at the upload
        raise BadCredentials(f"the API key lacks the scope {SCOPE}; create one that has it on numer.ai/account")
    versions, images = client.pickle_versions(), client.pickle_images()
    version = _option(versions, data_version)
    if version is None:
        raise BadConfig(
            f"Numerai runs no uploaded models on data version {data_version}, only on {', '.join(versions) or 'none'};"
            " wait until it does, or name an --artifact of such a version"
        )
    image = _option(images, python)
    if image is None:
        raise BadConfig(
            f"Numerai has no image for Python {python}, only {', '.join(images) or 'none'}; export with such a Python"
        )
    return Runtime(data_version_id=versions[version], image_id=images[image], image=image)


def _option(options: Mapping[str, str], wanted: str) -> str | None:
    """Return the name of the first option that is *wanted*, or has it as one of its words."""
    found = [name for name in options if wanted.lower() in name.lower().split()]
    return found[0] if found else None


def upload_name(made: Export) -> str:
    """Return the name under which a pickle is uploaded; it holds the digest of its content."""
    return f"{made.artifact}-{made.sha256[:12]}.pkl"


@dataclass(kw_only=True)
class Uploader:
    """
    Dependencies of an upload.

    Attributes:
        client: Client with the key of the slot's account.
        record: Pickles of earlier runs.
        account: Name of the account; empty for the only one.
        runtime: From :func:`find_runtime`.
        wait_s: Longest wait for Numerai's validation in seconds.
        wait: Sleeps for a number of seconds.
        report_progress: Called with the progress.
    """

    client: NumeraiClient
    record: HostedRecord
    account: str
    runtime: Runtime
    wait_s: float
    wait: Callable[[float], None] = time.sleep
    report_progress: ProgressCallback = lambda _stage, _share, _note: None
    _steps: list[str] = field(default_factory=list)

    def upload(self, made: Export, slot: str, model_id: str) -> Hosting:
        """
        Let a slot run a checked pickle; return what was done.

        What the server has already is neither uploaded nor assigned again.

        Args:
            made: The pickle.
            slot: Name of the model, which nothing else submits to.
            model_id: Numerai's id of the model.

        Raises:
            RefuseToSubmit: The pickle was not checked, or Numerai refuses it.
            BadCredentials: The key may not upload.
            OperatorNeeded: Numerai does not let the slot run it.
            RetryLater: Numerai does not answer or has not finished; the next run goes on from there.
        """
        if made.checked is None:
            raise RefuseToSubmit(f"{made.path} was not checked and is not uploaded; export it without --no-check")
        self._steps = []
        before = self.client.hosted_models().get(slot)
        known = self._intended(made, slot, model_id)
        known = self._held(known) or self._send(known, made)
        pickle, now = self._validated(known), self.client.server_now()
        runs_already = before is not None and before.id == pickle.id
        if runs_already:
            self._steps.append(f"{slot} runs pickle {pickle.id} already")
        else:
            self._assign(known, pickle)
        since = known.assigned_at if runs_already and known.assigned_at else now.isoformat()
        self.record.keep(replace(known, state="assigned", detail="", assigned_at=since), at=now)
        replaced = "" if before is None or runs_already else before.filename
        log.info("hosted.assigned", slot=slot, pickle=pickle.id, artifact=made.artifact, replaced=replaced)
        return Hosting(
            slot=slot,
            pickle=pickle.id,
            filename=pickle.filename,
            validation=pickle.validation,
            replaced=replaced,
            steps=tuple(self._steps),
        )

    def _intended(self, made: Export, slot: str, model_id: str) -> HostedPickle:
        """Return the record of an earlier run, or a new one, also where the name of the slot is another model's now."""
        known = self.record.get(slot, made.sha256)
        if known is not None and (known.model_id, known.account) == (model_id, self.account):
            return known
        return HostedPickle(
            slot=slot,
            sha256=made.sha256,
            account=self.account,
            model_id=model_id,
            artifact=made.artifact,
            filename=upload_name(made),
            stale_after=made.stale_after,
        )

    def _held(self, known: HostedPickle) -> HostedPickle | None:
        """Return the record of a pickle that the server has and did not refuse, ``None`` where it has none."""
        listed = [one for one in self.client.pickles(known.model_id) if _is_the_same(one, known)]
        usable = [one for one in listed if one.id and not one.is_refused]
        if not usable:
            if listed:
                self._steps.append("Numerai refused an earlier upload of this pickle: it is uploaded again")
            elif known.state == "intended" and known.at:
                self._steps.append(
                    "an earlier run was interrupted before the upload was complete: it is uploaded again"
                )
            return None
        found = min(usable, key=lambda one: (one.id != known.pickle, not one.is_validated))
        if known.state != "assigned":
            self._steps.append(f"pickle {found.id} is on the server already and is not uploaded again")
        state = known.state if known.state == "assigned" else "uploaded"
        return self.record.keep(replace(known, pickle=found.id, state=state), at=self.client.server_now())

    def _send(self, known: HostedPickle, made: Export) -> HostedPickle:
        """Upload the pickle and return its record; after a lost answer, look whether it arrived."""
        self.report_progress("upload", 0.0, f"{made.size / 1e6:,.1f} MB for {known.slot}")
        content = Path(made.path).read_bytes()
        if hashlib.sha256(content).hexdigest() != made.sha256:
            raise RefuseToSubmit(f"{made.path} is not the pickle that was checked; {AGAIN}")
        intended = self.record.keep(replace(known, pickle="", state="intended", detail=""), at=self.client.server_now())
        try:
            identity = self.client.upload_pickle(
                model_id=known.model_id,
                filename=known.filename,
                content=content,
                data_version_id=self.runtime.data_version_id,
                image_id=self.runtime.image_id,
            )
        except RefuseToSubmit as error:
            raise RefuseToSubmit(f"Numerai refuses the pickle: {error}; {self._now(known.slot)}") from None
        except NumeraiUnavailable as error:
            if _is_final(error):
                raise RefuseToSubmit(f"Numerai refuses the pickle: {error.said}; {self._now(known.slot)}") from None
            arrived = self._held(intended)
            if arrived is None:
                raise RetryLater(f"the pickle was not uploaded: {error}; {AGAIN}") from None
            return arrived
        log.info("hosted.uploaded", slot=known.slot, pickle=identity, artifact=known.artifact, bytes=made.size)
        self._steps.append(f"uploaded as pickle {identity} for {self.runtime.image}")
        return self.record.keep(replace(intended, pickle=identity, state="uploaded"), at=self.client.server_now())

    def _validated(self, known: HostedPickle) -> Pickle:
        """Return the pickle once Numerai has validated it."""
        began, slept, pause = time.monotonic(), 0.0, FIRST_PAUSE_S
        while True:
            found, state = self._look(known)
            waited = max(slept, time.monotonic() - began)  # looks take time, too
            if found is not None and found.is_refused:
                reason = self._reason(found)
                self.record.keep(replace(known, state="refused", detail=reason), at=self.client.server_now())
                raise RefuseToSubmit(
                    f"Numerai's validation of pickle {known.pickle} failed: {reason}; {self._now(known.slot)}"
                )
            if found is not None and found.is_validated:
                self._steps.append(f"Numerai validated it after {waited:.0f} s")
                return found
            if waited >= self.wait_s:
                raise RetryLater(
                    f"Numerai has not validated pickle {known.pickle} within {waited / 60:.0f} minutes ({state});"
                    f" {self._now(known.slot)}; {AGAIN}: it goes on waiting and uploads nothing twice"
                )
            limit = f"{waited / 60:.0f} of at most {self.wait_s / 60:.0f} minutes"
            self.report_progress("validation", waited / self.wait_s, f"{state}, {limit}")
            pause = min(pause, self.wait_s - waited)
            self.wait(pause)
            slept, pause = slept + pause, min(2 * pause, LONGEST_PAUSE_S)

    def _look(self, known: HostedPickle) -> tuple[Pickle | None, str]:
        """Return the pickle and its state in words; a look that fails is made again with the next one."""
        try:
            listed = self.client.pickles(known.model_id)
        except NumeraiUnavailable as error:
            if error.is_refusal:
                raise
            return None, f"no answer: {error}"
        found = next((one for one in listed if one.id == known.pickle), None)
        return found, "not listed yet" if found is None else found.validation or "no state yet"

    def _reason(self, pickle: Pickle) -> str:
        """Return why Numerai refused a pickle, in one line."""
        reason = pickle.reason
        if not reason and pickle.failed_run:
            try:
                reason = next(iter(self.client.pickle_log(pickle.failed_run)[::-1]), "")
            except NumeraiUnavailable as error:
                log.warning("hosted.log_unknown", reason=str(error))
        return reason or f"{pickle.validation}, without a reason; the log is on numer.ai/models"

    def _assign(self, known: HostedPickle, pickle: Pickle) -> None:
        """Let the slot run the pickle, and read back that it does."""
        self.report_progress("assignment", 0.0, f"pickle {pickle.id} to {known.slot}")
        refusal: NumeraiUnavailable | None = None
        try:
            self.client.assign_pickle(known.model_id, pickle.id)
        except NumeraiUnavailable as error:
            refusal = error
        runs = self._read_back(known.slot, pickle, looks=READ_BACKS if refusal is None else 1)
        if runs is not None and runs.id == pickle.id:
            self._steps.append(f"{known.slot} runs pickle {pickle.id}, as Numerai confirms")
            return
        now = _in_words(known.slot, runs)
        if refusal is None:
            raise RetryLater(
                f"Numerai assigned pickle {pickle.id} to {known.slot}, but {now}; {AGAIN}, and look on numer.ai/models"
                " what else assigns pickles"
            )
        if _is_final(refusal):
            raise OperatorNeeded(
                f"Numerai does not let {known.slot} run pickle {pickle.id}: {refusal.said}; {now};"
                f" fix it on numer.ai/models and {AGAIN}"
            )
        raise RetryLater(f"pickle {pickle.id} is validated but not assigned: {refusal}; {now}; {AGAIN}")

    def _read_back(self, slot: str, pickle: Pickle, *, looks: int) -> Pickle | None:
        """Return what the slot runs; look several times, because the server's answers may be seconds old."""
        runs: Pickle | None = None
        for look in range(looks):
            if look:
                self.wait(FIRST_PAUSE_S * 2 ** (look - 1))
            runs = self.client.hosted_models().get(slot)
            if runs is not None and runs.id == pickle.id:
                break
        return runs

    def _now(self, slot: str) -> str:
        """Return what the slot runs now, in words, for an error that leaves it as it is."""
        try:
            return _in_words(slot, self.client.hosted_models().get(slot))
        except NumeraiUnavailable:
            return f"{slot} runs what it ran before"


def _in_words(slot: str, runs: Pickle | None) -> str:
    return f"{slot} runs " + ("no pickle" if runs is None else f"{runs.filename or 'pickle'} ({runs.id or 'no id'})")


def _is_the_same(one: Pickle, known: HostedPickle) -> bool:
    """Return whether a pickle on the server is the recorded one: by its id, or by the digest in its name."""
    stem = known.filename.removesuffix(".pkl")
    return (one.id != "" and one.id == known.pickle) or one.filename.startswith(stem)


def _is_final(error: NumeraiUnavailable) -> bool:
    """Return whether Numerai said no for a reason that lasts; faults of the server itself pass."""
    passing: Sequence[str] = ("internal", "timeout", "timed out", "try again", "unavailable")
    return error.said is not None and not any(words in error.said.lower() for words in passing)
