"""
State and rules of the tournament: accounts, rounds and submissions.

The rules follow Numerai's as far as they are known. numerai-tools validates a submission at once, the latest valid one of
a slot is selected, a late one is queued for the next round, and ids of the previous round are mapped without an error.
"""

import hashlib
import io
import json
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from bot.sandbox._graphql import Refused
from bot.sandbox._hosting import STEPS, HostedPickle
from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule, Window
from bot.sandbox.world.generate import LiveEra, World

CLASSIC = 8
SCOPES = ("upload_submission", "read_submission_info", "read_user_info", "download_submission")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account: its API key, and model ids by name."""

    username: str
    public_id: str
    secret_key: str
    models: Mapping[str, str]
    scopes: tuple[str, ...] = SCOPES


DEMO_ACCOUNT = Account(
    username="sandbox",
    public_id="SANDBOXPUBLICIDSANDBOXPUBLICID00",
    secret_key="SANDBOXSECRETKEY" * 4,
    models={"sandbox_mixer": "5a9db0c5-0000-4000-8000-000000000001"},
)


def demo_account(models: Sequence[str]) -> Account:
    """Return the account of the sandbox's key with models of these names, the first one with the id of the demo's."""
    (first,) = DEMO_ACCOUNT.models.values()
    ids = [first[:-12] + f"{number:012}" for number in range(1, len(models) + 1)]
    return replace(DEMO_ACCOUNT, models=dict(zip(models, ids, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Name and id of an account's model."""

    name: str
    id: str


@dataclass(slots=True, kw_only=True)
class Submission:
    """An accepted file. ``round`` is the round that it counts for; ``late`` is set if it was queued for that round."""

    id: str
    round: int
    slot: str
    model_id: str
    filename: str
    content: bytes
    inserted_at: datetime
    late: bool
    trigger_id: str | None = None
    selected: bool = True
    accepted: bool = True
    status: str = "success"
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Return the sha256 of the file."""
        return hashlib.sha256(self.content).hexdigest()


class Tournament:
    """
    State and rules of the tournament.

    Args:
        source: A world, or a folder of files that are served in every round.
        clock: Clock of the tournament.
        schedule: Times of the rounds.
        accounts: Accounts that take part.
        journal: File to which every effect is appended as JSON, or ``None``.
        first_era: Index of the world's live era that the first round uses.
    """

    def __init__(
        self,
        source: World | Path,
        *,
        clock: SandboxClock,
        schedule: Schedule,
        accounts: Sequence[Account] = (DEMO_ACCOUNT,),
        journal: Path | None = None,
        first_era: int = 0,
    ) -> None:
        self.source, self.clock, self.schedule, self.accounts = source, clock, schedule, tuple(accounts)
        self.submissions: list[Submission] = []
        self.uploaded: dict[str, bytes] = {}
        self.diagnostics: dict[str, dict[str, Any]] = {}
        self.webhooks: dict[str, str | None] = {}
        self.pickles: list[HostedPickle] = []
        self.hosted: dict[str, HostedPickle] = {}
        self.stakes: dict[str, float] = {}
        self._journal, self._first_era = journal, first_era
        self.changed = threading.Condition(threading.RLock())
        self.conditions: dict[str, tuple[datetime, str]] = {}
        self.skew = timedelta(0)
        self.added: set[str] = set()
        self._delayed: list[tuple[datetime, Callable[[], object]]] = []

    @property
    def directory(self) -> Path:
        """Return the folder that holds the data versions."""
        return self.source if isinstance(self.source, Path) else self.source.directory

    def current(self) -> Window | None:
        """Return the round that is open now, or ``None``."""
        number = self.schedule.opened(self.clock.now())
        if number is None:
            return None
        window = self.schedule.round(number)
        return window if self.clock.now() < window.closes_at else None

    def upcoming(self) -> Window:
        """Return the next round to open."""
        number = self.schedule.opened(self.clock.now())
        return self.schedule.round(self.schedule.first_round if number is None else number + 1)

    def live_era(self, number: int) -> LiveEra | None:
        """Return the live era of a round; ``None`` if given files are served."""
        if isinstance(self.source, Path):
            return None
        with self.changed:
            return self.source.live(self._first_era + number - self.schedule.first_round)

    def folder(self, version: str) -> Path:
        """Return the folder of a data version's files; it does not exist for a version that is not offered."""
        if version in self.added and not isinstance(self.source, Path):
            with self.changed:
                return self.source.folder(version)
        return self.directory / version

    def live_folder(self, number: int, version: str) -> Path:
        """Return the folder of a round's live files in a data version; it does not exist for a version that is not offered."""
        era = self.live_era(number)
        if era is None or isinstance(self.source, Path):
            return self.directory / version
        with self.changed:
            known = version in self.added or version == self.source.data_version
            return self.source.live_folder(era, version) if known else self.directory / version

    def live_ids(self, number: int) -> list[str]:
        """Return the ids that a submission to the round must have."""
        era = self.live_era(number)
        if era is not None:
            return era.ids
        path = next(self.directory.glob("*/live.parquet"))
        return [str(one) for one in pq.ParquetFile(path).read(columns=["id"]).column(0).to_pylist()]

    def condition(self, kind: str) -> str | None:
        """Return the message of a lasting event that is in force now, else ``None``."""
        until, message = self.conditions.get(kind, (self.clock.now(), ""))
        return message if self.clock.now() < until else None

    def later(self, seconds: float, effect: Callable[[], object]) -> None:
        """Run *effect* at the first request that comes *seconds* sandbox seconds from now, or later."""
        with self.changed:
            self._delayed.append((self.clock.now() + timedelta(seconds=seconds), effect))

    def settle(self) -> None:
        """Run the delayed effects that are due."""
        with self.changed:
            due = [effect for at, effect in self._delayed if at <= self.clock.now()]
            self._delayed = [one for one in self._delayed if one[0] > self.clock.now()]
        for effect in due:
            effect()
        self._run_pickles()

    def model(self, account: Account, model_id: str | None) -> Model:
        """
        Return a model of *account*; its only one if *model_id* is ``None``.

        Raises:
            Refused: The account has no such model.
        """
        for name, identity in account.models.items():
            if identity == model_id or (model_id is None and len(account.models) == 1):
                return Model(name=name, id=identity)
        raise Refused("Model not found")

    def store(self, filename: str, content: bytes) -> None:
        """Keep an uploaded file until a submission is created from it."""
        self.uploaded[filename] = content
        self.note("put", filename=filename, bytes=len(content))

    def create(self, account: Account, *, filename: str, model_id: str | None, trigger_id: str | None) -> Submission:
        """
        Create a submission from an uploaded file.

        Raises:
            Refused: The file was never uploaded, or Numerai's validation refuses it.
        """
        model = self.model(account, model_id)
        slot, identity = model.name, model.id
        if identity in self.hosted or self.condition("slot_disabled") is not None:
            raise Refused("This model has an active model upload: submissions over the API are disabled")
        content = self.uploaded.get(filename)
        if content is None:
            raise Refused(f"FileNotFoundError {filename}")
        opened = self.schedule.opened(self.clock.now())
        if opened is None:
            raise Refused("Current round not open for submissions")
        late = self.clock.now() >= self.schedule.round(opened).closes_at
        number = opened + 1 if late else opened
        sent = _ids_sha256(content)
        content = self._fitted(content, opened)
        message = _validate(content, self.live_ids(opened))
        if message is not None:
            self.note("refused", slot=slot, filename=filename, message=message)
            raise Refused(message)
        added = self._add(number, slot, identity, filename, content, late=late, trigger_id=trigger_id)
        window = self.schedule.round(opened)
        self.note(
            "created", id=added.id, round=number, slot=slot, filename=filename, sha256=added.sha256, late=late,
            opens_at=window.opens_at.isoformat(), closes_at=window.closes_at.isoformat(), ids_sha256=sent,
            live_sha256=hashlib.sha256("\n".join(sorted(self.live_ids(opened))).encode()).hexdigest(),
        )  # fmt: skip
        return added

    def place(self, slot: str, *, filename: str, content: bytes) -> Submission:
        """Add a submission to the open round that the bot did not make."""
        current = self.current()
        if current is None:
            raise Refused("Current round not open for submissions")
        account = next(one for one in self.accounts if slot in one.models)
        added = self._add(current.number, slot, account.models[slot], filename, content, late=False, trigger_id=None)
        self.note("placed", id=added.id, round=current.number, slot=slot, filename=filename, sha256=added.sha256)
        return added

    def upload_pickle(self, model: Model, filename: str) -> HostedPickle:
        """
        Create a Model Upload from an uploaded file; the model does not run it yet.

        Raises:
            Refused: The file was never uploaded, or is no pickle by its name.
        """
        if filename not in self.uploaded:
            raise Refused(f"FileNotFoundError {filename}")
        if not filename.endswith(".pkl"):
            raise Refused("invalid_pickle: the name of a pickle ends with .pkl")
        made = HostedPickle(filename=filename, model_id=model.id, inserted_at=self.clock.now())
        with self.changed:
            self.pickles.append(made)
        self.note("pickle", id=made.id, slot=model.name, filename=filename)
        return made

    def assign(self, model: Model, pickle_id: str) -> None:
        """
        Let a model run a pickle in place of an earlier one.

        Raises:
            Refused: There is no such pickle, or it is not validated.
        """
        wanted = next((one for one in self.pickles if one.id == pickle_id), None)
        if wanted is None:
            raise Refused("Pickle not found")
        if wanted.validation != STEPS[-1]:
            raise Refused(f"Pickle is not validated: {wanted.validation}")
        self.hosted[model.id] = wanted
        self.note("assigned", id=wanted.id, slot=model.name)

    def host(self, slot: str, filename: str = "by-hand.pkl") -> HostedPickle:
        """Let a model run a validated pickle that the bot did not upload; return the pickle."""
        account = next(one for one in self.accounts if slot in one.models)
        identity = account.models[slot]
        placed = HostedPickle(filename=filename, model_id=identity, inserted_at=self.clock.now(), validation=STEPS[-1])
        self.pickles.append(placed)
        self.hosted[identity] = placed
        return placed

    def _run_pickles(self) -> None:
        """Submit to the open round for each model that runs a pickle, once: every row by its place in the live file."""
        with self.changed:
            window = self.current() if self.hosted else None
            if window is None or self.condition("hosted_silent") is not None:
                return
            names = {identity: name for account in self.accounts for name, identity in account.models.items()}
            for identity, one in self.hosted.items():
                if identity not in names or any(sent.round == window.number for sent in self.of(identity)):
                    continue
                if (reason := self.condition("hosted_fails")) is not None:
                    if not one.runs or one.runs[-1][1] != "submission_failed":
                        one.run("submission_failed", reason)
                    continue
                one.run("submission_succeeded")
                ids = self.live_ids(window.number)
                rows = [f"{name},{(row + 1) / (len(ids) + 1):.9f}" for row, name in enumerate(ids)]
                content = ("\n".join(["id,prediction", *rows]) + "\n").encode()
                self._add(window.number, names[identity], identity, one.filename, content, late=False, trigger_id=None)

    def of(self, model_id: str) -> list[Submission]:
        """Return a model's submissions, newest first."""
        with self.changed:
            return [one for one in reversed(self.submissions) if one.model_id == model_id]

    def wait_for(self, predicate: Callable[[], bool], *, timeout_s: float) -> bool:
        """Wait until *predicate* holds; it is checked after every effect. Return whether it holds."""
        with self.changed:
            return self.changed.wait_for(predicate, timeout=timeout_s)

    def note(self, event: str, **detail: Any) -> None:  # noqa: ANN401 - JSON
        """Append an effect to the journal, and wake all callers of :meth:`wait_for`."""
        with self.changed:
            if self._journal is not None:
                line = {"at": self.clock.now().isoformat(), "event": event, **detail}
                with self._journal.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            self.changed.notify_all()

    def _add(
        self,
        number: int,
        slot: str,
        model_id: str,
        filename: str,
        content: bytes,
        *,
        late: bool,
        trigger_id: str | None,
    ) -> Submission:
        with self.changed:
            for one in self.submissions:
                if one.model_id == model_id and one.round == number:
                    one.selected = False
            added = Submission(
                id=str(uuid.uuid4()),
                round=number,
                slot=slot,
                model_id=model_id,
                filename=filename,
                content=content,
                inserted_at=self.clock.now(),
                late=late,
                trigger_id=trigger_id,
            )
            self.submissions.append(added)
        return added

    def _fitted(self, content: bytes, number: int) -> bytes:
        """Map ids of the previous round onto those of this round, in order, as the server does without an error."""
        if number == self.schedule.first_round or isinstance(self.source, Path):
            return content
        before, now = self.live_ids(number - 1), self.live_ids(number)
        lines = content.decode("utf-8", errors="replace").splitlines()
        sent = [line.partition(",") for line in lines[1:]]
        if {identity for identity, _, _ in sent} != set(before):
            return content
        values = [value for _, _, value in sent]
        filled = (values * (len(now) // max(len(values), 1) + 1))[: len(now)]
        mapped = [f"{identity},{value}" for identity, value in zip(now, filled, strict=True)]
        return ("\n".join([lines[0], *mapped]) + "\n").encode()


def _ids_sha256(content: bytes) -> str:
    """Return the sha256 of the sorted ids in a submission, as it was sent."""
    ids = [line.partition(",")[0] for line in content.decode("utf-8", errors="replace").splitlines()[1:]]
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def _validate(content: bytes, live_ids: Sequence[str]) -> str | None:
    """Return the error of Numerai's own validation; ``None`` if it accepts the file."""
    import pandas as pd  # noqa: PLC0415 - loads scikit-learn too, which only a server with submissions needs
    from numerai_tools.submissions import validate_submission_numerai  # noqa: PLC0415

    try:
        validate_submission_numerai(pd.Series(live_ids, name="id"), pd.read_csv(io.BytesIO(content)))
    except (AssertionError, ValueError, TypeError, KeyError) as error:
        return str(error) or type(error).__name__
    return None
