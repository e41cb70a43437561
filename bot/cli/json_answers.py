"""
The objects that commands print with `--json`, as types: the reference is made from them, and tests hold the commands to them.

Commands do not import this module. A dataclass stands for an object with its fields; a figure that could not be computed
is ``null``.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from bot.doctor.checks import Check
from bot.findings import Finding
from bot.hosted.export import Export
from bot.hosted.upload import Hosting
from bot.judging.evaluation_file import CorrSummary
from bot.live.live_scores import LiveRound
from bot.live.sync import Calibration
from bot.record.control import Pause
from bot.research.interpretation import Interpretation
from bot.research.momentum_experiment import E0
from bot.research.recipe_comparison import Comparison
from bot.research.trial_results import TrialRow
from bot.training.planning.time_estimate import Stage


class ErrorAbout(TypedDict):
    """
    An error.

    Attributes:
        kind: Name of the error.
        message: Problem, cause and fix in one line, as on standard error.
        exit_code: Exit code of the error.
    """

    kind: str
    message: str
    exit_code: int


class Failed(TypedDict):
    """
    A command that failed as a whole: in place of its answer.

    Attributes:
        error: The error; the command ends with its exit code.
    """

    error: ErrorAbout


class Init(TypedDict):
    """
    What was written. Questions are asked on standard error.

    Attributes:
        file: Path of `bot.toml`.
        secrets: Folder of the key and the addresses of alerts; ``null`` where no secret was written.
        mode: Mode that is in use now.
        feature_set: Feature set that is in use now.
        recipe: Recipe of the account's only model.
        slots: Recipe of each slot of the only account.
        accounts: Recipe of each slot, by account.
        overruled_by: Variables of the environment that take precedence over the file.
        not_checked: What could not be checked, a sentence each.
        plans: Time, memory and disk of the first retrain of each recipe, a line each; ``null`` where this machine cannot train.
        next: The next command.
    """

    file: str
    secrets: str | None
    mode: str
    feature_set: str
    recipe: str
    slots: Mapping[str, str]
    accounts: Mapping[str, Mapping[str, str]]
    overruled_by: list[str]
    not_checked: list[str]
    plans: list[str] | None
    next: str


class Doctor(TypedDict):
    """
    All checks, failures first.

    Attributes:
        summary: The last line that a person reads.
        exit_code: Exit code of the command: that of the worst failure.
        checks: The checks.
    """

    summary: str
    exit_code: int
    checks: list[Check]


class Receipt(TypedDict):
    """
    The receipt of a slot.

    Attributes:
        round: Number of the round.
        opens_at: ISO time.
        closes_at: ISO time.
        slot: Name of the slot.
        outcome: ``confirmed``, ``already confirmed``, ``dry run`` and such.
        artifact: Id of the artifact that made the predictions.
        filled_by: Name of the fallback that filled the slot; ``champion`` where nothing was wrong.
        passed_over: Why the better fallbacks could not.
        data_version: Data version of the live file.
        data_sha256: Digest of the live file.
        csv_sha256: Digest of the predictions.
        submission: Id on the server; ``null`` for a dry run.
        gates: Results of the gates.
        seconds_used: Seconds from the start to the end.
        seconds_left: Seconds that were left until the close.
    """

    round: int
    opens_at: str
    closes_at: str
    slot: str
    outcome: str
    artifact: str
    filled_by: str
    passed_over: str
    data_version: str
    data_sha256: str
    csv_sha256: str
    submission: str | None
    gates: list[Finding]
    seconds_used: float
    seconds_left: float


class Late(TypedDict):
    """
    A submission that was handed in late.

    Attributes:
        round: Number of the closed round.
        slot: Name of the slot.
    """

    round: int
    slot: str


class Submit(TypedDict):
    """
    All slots.

    Attributes:
        receipts: Receipt of each slot that was submitted, or is confirmed already.
        handed_in_late: Predictions of a closed round that count for the next one.
        errors: Error of each slot that failed.
    """

    receipts: list[Receipt]
    handed_in_late: list[Late]
    errors: list[ErrorAbout]


class Paused(TypedDict):
    """
    The pauses.

    Attributes:
        paused: Every pause that lasts.
    """

    paused: list[Pause]


class Resumed(TypedDict):
    """
    The pauses after a resume.

    Attributes:
        resumed: Slots that were paused; an empty name stands for every slot.
        paused: Every pause that lasts.
    """

    resumed: list[str]
    paused: list[Pause]


class Retry(TypedDict):
    """
    The order to the running bot.

    Attributes:
        round: Number of the open round.
        asked_at: ISO time of the order.
    """

    round: int
    asked_at: str


class Address(TypedDict):
    """
    An address of alerts.

    Attributes:
        place: Its place in BOT_ALERT_URLS, from 1.
        taken: Whether its service took the message.
        reason: Why it did not.
    """

    place: int
    taken: bool
    reason: str | None


class AlertTest(TypedDict):
    """
    The test of the alerts.

    Attributes:
        addresses: Every address.
    """

    addresses: list[Address]


class Scores(TypedDict):
    """
    Live scores.

    Attributes:
        rounds: Scores and payout of each round and slot.
        artifacts: Expected and live CORR of each artifact.
        notes: Warnings, and comparisons with Numerai's benchmark model.
        exported_to: Path of the parquet file; ``null`` without rounds.
    """

    rounds: list[LiveRound]
    artifacts: list[Calibration]
    notes: list[str]
    exported_to: str | None


class Health(TypedDict):
    """
    Whether the daemon is well.

    Attributes:
        healthy: Whether it is.
        problems: Reasons why not.
    """

    healthy: bool
    problems: list[str]


class Backup(TypedDict):
    """
    What was kept and deleted.

    Attributes:
        backup: Path of the copy; ``null`` where there is no ledger yet.
        freed_bytes: Bytes of old rounds that were deleted.
    """

    backup: str | None
    freed_bytes: int


class DemoSubmission(TypedDict):
    """
    A submission in the sandbox's record.

    Attributes:
        round: Number of the round.
        slot: Name of the slot.
        file: Name of the file.
        sha256: Digest of the file.
    """

    round: int
    slot: str
    file: str
    sha256: str


class Demo(TypedDict):
    """
    The sandbox's own record, which equals the file that the bot sent.

    Attributes:
        submissions: Every submission.
        seconds: Duration.
        folder: Folder of world and state; ``null`` where it was temporary.
    """

    submissions: list[DemoSubmission]
    seconds: float
    folder: str | None


class Sandbox(TypedDict):
    """
    Printed once the sandbox listens; the command goes on until it is stopped.

    Attributes:
        url: Address of the tournament.
        record: Address of its record.
        settings: Variables of the environment of a bot that plays there.
    """

    url: str
    record: str
    settings: Mapping[str, str]


class Version(TypedDict):
    """
    State of a data version.

    Attributes:
        data_version: The data version.
        changed: Files that were downloaded.
        eras: Number of eras of the era store.
        first_era: Its first era.
        newest_era: Its newest era.
        rows: Number of its rows.
        features: Number of its features.
        resolved_to: Newest resolved era, by target of the factor history.
        stale_after: ISO time after which live rows are scored without the history; ``null`` where there is none.
        findings: Messages about the data.
    """

    data_version: str
    changed: list[str]
    eras: int
    first_era: str
    newest_era: str
    rows: int
    features: int
    resolved_to: Mapping[str, str]
    stale_after: str | None
    findings: list[str]


class Sync(TypedDict):
    """
    Every data version in use.

    Attributes:
        versions: Versions that were synced.
        errors: Error of each version that failed.
    """

    versions: list[Version]
    errors: list[ErrorAbout]


class Judged(TypedDict):
    """
    A judgement.

    Attributes:
        recipe: Name of the recipe.
        artifact: Id of the artifact.
        data_version: Its data version.
        promoted: Whether it became champion.
        reason: The decision in one sentence.
        scores: CORR on the hold-out, by member.
        findings: Results of the promotion gate.
    """

    recipe: str
    artifact: str
    data_version: str
    promoted: bool
    reason: str
    scores: Mapping[str, CorrSummary]
    findings: list[Finding]


class Starter(Judged):
    """
    The training of the recipe `starter`.

    Attributes:
        seconds: Duration.
    """

    seconds: float


class NoStarter(TypedDict):
    """
    A training of the recipe `starter` that failed; the retrain goes on.

    Attributes:
        promoted: Always false.
        reason: The error in one line.
    """

    promoted: Literal[False]
    reason: str


class Challenger(Judged):
    """
    A retrain.

    Attributes:
        kept_fits: Members that were taken from earlier fits.
        report: Path of the page; ``null`` where it could not be written.
        published: Place of the pack in the storage; ``null`` where none was published.
        seconds: Duration.
        planned_seconds: Duration by the plan; ``null`` where there was none.
    """

    kept_fits: list[str]
    report: str | None
    published: str | None
    seconds: float
    planned_seconds: float | None


class Retrain(TypedDict):
    """
    Every recipe. Plan and progress go to standard error.

    Attributes:
        starter: The training of the recipe `starter`; ``null`` where it was not needed.
        retrained: Challenger of each recipe.
        errors: Error of each recipe that cannot be read or used.
    """

    starter: Starter | NoStarter | None
    retrained: list[Challenger]
    errors: list[ErrorAbout]


class Plan(TypedDict):
    """
    The plan of a recipe's next retrain. Sizes are bytes, times seconds.

    Attributes:
        recipe: Name of the recipe.
        data_version: Data version to train on.
        feature_set: Feature set.
        machine: The machine, in words.
        seconds: Expected duration.
        memory: Peak memory.
        memory_available: Memory that is free.
        basis: Origin of the times, in words.
        stages: The stages.
    """

    recipe: str
    data_version: str
    feature_set: str
    machine: str
    seconds: float
    memory: int
    memory_available: int
    basis: str
    stages: list[Stage]


class Plans(TypedDict):
    """
    The plan of each recipe.

    Attributes:
        plans: Plans of the recipes that can be trained here.
        errors: Error of each other recipe.
    """

    plans: list[Plan]
    errors: list[ErrorAbout]


class Trial(TypedDict):
    """
    Predictions of one era.

    Attributes:
        name: Era or round.
        rows: Number of rows.
        seconds: Seconds of all members together.
        members: Members that predicted.
        corr: CORR of members and ensemble; empty where the target is not known.
        exposure: Largest absolute correlation with a neutralizer.
        exposure_refused: Whether the gate on exposure would refuse it.
    """

    name: str
    rows: int
    seconds: float
    members: list[str]
    corr: Mapping[str, float]
    exposure: float
    exposure_refused: bool


class Adopt(TypedDict):
    """
    The new champion.

    Attributes:
        recipe: Name of the recipe.
        champion: Id of the artifact.
        data_version: Its data version.
        trials: What its members predicted.
        files: Digest of each file, by member and path.
    """

    recipe: str
    champion: str
    data_version: str
    trials: list[Trial]
    files: Mapping[str, Mapping[str, str]]


class Member(TypedDict):
    """
    A member of a recipe.

    Attributes:
        name: Its name.
        kind: Its kind.
        share: Share of its weight.
    """

    name: str
    kind: str
    share: float


class RecipeRow(TypedDict, total=False):
    """
    A recipe.

    Attributes:
        name: Its name.
        in_use: Whether a slot uses it.
        purpose: What a built-in recipe is for; ``null`` for others.
        error: Why it is not usable; then the keys below are missing.
        members: Its members.
        memory_bytes: Memory of the largest fit; ``null`` where it is not known.
        champion: Id of its champion; ``null`` without one.
    """

    name: str
    in_use: bool
    purpose: str | None
    error: str | None
    members: list[Member]
    memory_bytes: int | None
    champion: str | None


class Recipes(TypedDict):
    """
    All recipes.

    Attributes:
        recipes: Built-in recipes and those of files.
    """

    recipes: list[RecipeRow]


class Champion(TypedDict):
    """
    A champion.

    Attributes:
        recipe: Name of the recipe.
        champion: Id of the artifact.
        data_version: Its data version.
    """

    recipe: str
    champion: str
    data_version: str


class ByHand(Champion):
    """
    A champion by hand.

    Attributes:
        kept_back: Why the promotion gate had kept it back; ``null`` where it had not.
    """

    kept_back: str | None


class Promote(TypedDict):
    """
    The new champion.

    Attributes:
        promoted: The champion.
    """

    promoted: list[ByHand]


class Rollback(TypedDict):
    """
    The champions.

    Attributes:
        rolled_back: Champion of each recipe that was rolled back.
        errors: Error of each recipe that could not be.
    """

    rolled_back: list[Champion]
    errors: list[ErrorAbout]


class Intact(TypedDict):
    """
    An artifact.

    Attributes:
        id: Its id.
        intact: Whether its files are as they were written.
        damage: What is wrong with it.
    """

    id: str
    intact: bool
    damage: str | None


class Verify(TypedDict):
    """
    All artifacts.

    Attributes:
        artifacts: Every artifact.
        errors: One error where an artifact is damaged.
    """

    artifacts: list[Intact]
    errors: list[ErrorAbout]


class Pack(TypedDict):
    """
    The pack.

    Attributes:
        artifact: Id of its artifact.
        place: Path of the file, or its place in the storage.
        published: Whether it was published.
        bytes: Its size.
        signed_by: Public key of its signature.
    """

    artifact: str
    place: str
    published: bool
    bytes: int
    signed_by: str


class NumeraiModel(TypedDict):
    """
    The pickle of an artifact, and the slot that Numerai runs with it.

    Attributes:
        export: The pickle.
        hosting: The slot; ``null`` without `--upload`.
        next: Steps that are left to a person, a sentence each.
    """

    export: Export
    hosting: Hosting | None
    next: list[str]


class SigningKey(TypedDict):
    """
    The new key.

    Attributes:
        signing_key: Path of the private half.
        public_key: The public half, for BOT_TRUSTED_KEYS.
    """

    signing_key: str
    public_key: str


class Received(Judged):
    """
    A judged pack.

    Attributes:
        trained_as: Id of the artifact on the machine that trained it.
        signed_by: Public key of its signature.
        report: Path of the page; ``null`` where it could not be written.
    """

    trained_as: str
    signed_by: str
    report: str | None


class PassedOver(TypedDict):
    """
    A pack that was not judged.

    Attributes:
        pack: Name of its file.
        reason: Why.
    """

    pack: str
    reason: str


class Unpack(TypedDict):
    """
    The packs.

    Attributes:
        judged: Packs that were judged.
        passed_over: Packs that were not; none without `--latest`.
        errors: Error of each pack that was refused or could not be judged now; none without `--latest`.
    """

    judged: list[Received]
    passed_over: list[PassedOver]
    errors: list[ErrorAbout]


class DataExport(TypedDict):
    """
    The exported columns.

    Attributes:
        folder: Folder of the files.
        manifest: File that lists them with sha256.
        data_version: Data version.
        format: ``parquet`` or ``npy``.
        eras: Number of eras.
        rows: Number of rows.
        features: Number of features.
        targets: Names of the targets.
        files: Number of files.
        bytes: Their size.
    """

    folder: str
    manifest: str
    data_version: str
    format: str
    eras: int
    rows: int
    features: int
    targets: list[str]
    files: int
    bytes: int


class Evaluate(TypedDict):
    """
    An evaluation.

    Attributes:
        artifact: Id of the artifact.
        page: Path of the page.
        figures: Content of its file `reports/<artifact>.json`: scores by member, target and regime, agreement, importance,
            exposure and drift; ``not_computed`` has the reason of each figure that is missing.
    """

    artifact: str
    page: str
    figures: Mapping[str, Any]


class Compare(TypedDict):
    """
    A comparison of recipes.

    Attributes:
        file: Path of the comparison as JSON.
        page: Path of the page.
        comparison: Content of the file.
    """

    file: str
    page: str
    comparison: Comparison


class Momentum(TypedDict):
    """
    The momentum experiment.

    Attributes:
        experiment: Its result.
    """

    experiment: E0


class Importance(TypedDict):
    """
    The inputs that a network depends on.

    Attributes:
        importance: The result.
    """

    importance: Interpretation


class Diagnosed(TypedDict):
    """
    Numerai's diagnostics of an artifact.

    Attributes:
        artifact: Id of the artifact.
        state: State of the diagnostics.
        verdict: The comparison in one sentence.
    """

    artifact: str
    state: str
    verdict: str


class Diagnose(TypedDict):
    """
    The diagnostics.

    Attributes:
        diagnosed: Every artifact that was uploaded.
        reasons: Why nothing was uploaded.
        errors: Error of each artifact that could not be.
    """

    diagnosed: list[Diagnosed]
    reasons: list[str]
    errors: list[ErrorAbout]


class Winner(TypedDict):
    """
    The best trial.

    Attributes:
        recipe: Name of the recipe that was written for it.
        file: Path of the recipe.
        trial: Number of the trial.
        value: Its value.
        verdict: Whether it beats the recipe beyond noise, in one sentence.
    """

    recipe: str
    file: str
    trial: int
    value: float
    verdict: str


class Tune(TypedDict):
    """
    A study.

    Attributes:
        study: Name of the study.
        trials_wanted: Trials of the study, all machines together.
        trials_done_here: Trials of this run.
        stopped: Whether it was stopped before its end; another run continues.
        trials: Every trial.
        winner: The best trial; ``null`` where it was stopped.
    """

    study: str
    trials_wanted: int
    trials_done_here: int
    stopped: bool
    trials: list[TrialRow]
    winner: Winner | None


ANSWERS: Mapping[str, type[Any]] = {
    "init": Init,
    "doctor": Doctor,
    "submit": Submit,
    "pause": Paused,
    "resume": Resumed,
    "retry": Retry,
    "alert test": AlertTest,
    "scores": Scores,
    "health": Health,
    "backup": Backup,
    "demo": Demo,
    "sandbox": Sandbox,
    "sync": Sync,
    "retrain": Retrain,
    "retrain --plan": Plans,
    "adopt": Adopt,
    "recipes": Recipes,
    "promote": Promote,
    "rollback": Rollback,
    "verify": Verify,
    "pack": Pack,
    "pack --new-key": SigningKey,
    "unpack": Unpack,
    "export numerai-model": NumeraiModel,
    "data export": DataExport,
    "evaluate": Evaluate,
    "evaluate compare": Compare,
    "evaluate e0": Momentum,
    "evaluate e1": Compare,
    "evaluate importance": Importance,
    "report": Evaluate,
    "diagnose": Diagnose,
    "tune": Tune,
}
"""Types by the words of the command. `bot status` prints the overview and a round, which the reference shows by a sample."""

OTHERWISE = {
    "run": "is a daemon: its log off a terminal has one JSON object a line",
    "mcp": "speaks the Model Context Protocol on standard output, which is JSON",
    "recipes schema": "prints a JSON schema",
    "recipes show": "prints the keys of a recipe file",
    "status": "prints the overview, or everything that is kept of a round",
}
"""What other commands print."""
