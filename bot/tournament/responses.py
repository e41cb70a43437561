"""
Values that the API returns.

The annotations say how a field is read from JSON, and which fields may be absent or odd (:mod:`bot.tournament._answers`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AliasPath, BeforeValidator, Field

from bot.errors import NumeraiUnavailable
from bot.tournament._answers import Amount, Count, Name, Text, Time, or_else
from bot.tournament.rounds import Payout, Round

CLASSIC = 8
"""Numerai's id of the Classic tournament."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveScore:
    """
    A score of a submission on one day.

    Attributes:
        round: Numerai's round number.
        name: Name of the score, such as ``corr60``.
        value: Value of the score.
        percentile: Percentile among all models, 0 to 1; ``None`` if the API returned none.
        day: Number of the round's scoring day.
        date: Date of the scoring day.
        resolved: Whether the score is final.
    """

    round: Annotated[Count, Field(validation_alias="roundNumber")]
    name: Annotated[Name, Field(validation_alias="displayName")]
    value: Amount
    percentile: Annotated[Amount | None, or_else(None)] = None
    day: Annotated[Count, or_else(0)] = 0
    date: Annotated[Text, or_else("")] = ""
    resolved: Annotated[bool, or_else(default=False)] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSubmission:
    """
    A submission that the server holds.

    Attributes:
        id: Numerai's id of the submission; empty if the API returned none.
        filename: Name of the file, from the name at the upload; empty if the API returned none.
        round: Number of the round.
        tournament: Id of the tournament.
        selected: Whether this submission counts for the round; ``True`` if the API did not return it.
        error: Error of Numerai's validation; ``None`` if the submission was accepted.
    """

    id: Annotated[Text, or_else("")] = ""
    filename: Annotated[Text, or_else("")] = ""
    round: Annotated[Count, Field(validation_alias=AliasPath("round", "number"))]
    tournament: Annotated[Count, or_else(CLASSIC), Field(validation_alias=AliasPath("round", "tournament"))] = CLASSIC
    selected: Annotated[bool, or_else(default=True)] = True
    error: Annotated[
        Text | None,
        or_else("an error of an unknown form"),
        BeforeValidator(lambda info: info or None),
        Field(validation_alias="errorInfo"),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """
    Results of Numerai's diagnostics for predictions of validation eras.

    Attributes:
        status: ``done``, or a name of a pending or failed state.
        message: Reason of a failure; ``None`` if the API returned none.
        eras: Number of eras that were accepted.
        scores: ``corr``, ``bmc`` and ``mmc`` by era, without eras that lack the score.
    """

    status: str
    message: str | None
    eras: int
    scores: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """
    The payout of a model for one round.

    Attributes:
        round: Number of the round.
        slot: Name of the model.
        nmr: Payout in NMR, negative for a burn.
        settled: Whether the payout is final.
    """

    round: Annotated[Count, Field(validation_alias="roundNumber")]
    slot: Annotated[Name, Field(validation_alias="modelName")]
    nmr: Annotated[Amount, Field(validation_alias="payoutNmr")]
    settled: bool = False


@dataclass(kw_only=True)
class ListedPay:
    """
    The configuration of a score in a round, as the API lists it.

    Attributes:
        display_name: Name of the score, such as ``corr60``.
        name: Name of the score where it has no other.
        is_payout: Whether the round pays for the score.
        multiplier: Factor of the score in the payout.
        clip: Largest gain or loss in the round as a share of the stake.
    """

    display_name: Annotated[Text | None, Field(validation_alias="displayName")] = None
    name: Text | None = None
    is_payout: Annotated[bool | None, Field(validation_alias="isPayout")] = None
    multiplier: Annotated[Amount | None, Field(validation_alias="defaultMultiplier")] = None
    clip: Annotated[Amount | None, Field(validation_alias="clipThreshold")] = None


@dataclass(kw_only=True)
class ListedRound:
    """
    A round as the API lists it.

    Attributes:
        number: Numerai's round number.
        opens_at: Opening.
        closes_at: ``closeTime``, ``None`` if the API returned none.
        on_time_until: ``closeStakingTime``, ``None`` if the API returned none.
        factor: Payout factor.
        pays: Configurations of the scores; ``None`` if the API returned none.
    """

    number: Count
    opens_at: Annotated[Time, Field(validation_alias="openTime")]
    closes_at: Annotated[Time | None, or_else(None), Field(validation_alias="closeTime")] = None
    on_time_until: Annotated[Time | None, or_else(None), Field(validation_alias="closeStakingTime")] = None
    factor: Annotated[Amount | None, or_else(None), Field(validation_alias="payoutFactor")] = None
    # A formula without one of its scores would be a wrong one: an odd row makes all of them unknown.
    pays: Annotated[list[ListedPay] | None, or_else(None), Field(validation_alias="roundScoreConfigs")] = None

    def round(self) -> Round:
        """
        Return the round; it closes at the earlier of its two closing times.

        Raises:
            NumeraiUnavailable: It has no closing time.
        """
        closings = [time for time in (self.closes_at, self.on_time_until) if time is not None]
        if not closings:
            raise NumeraiUnavailable(f"the API lists round {self.number} without a usable closing time")
        return Round(
            number=self.number,
            opens_at=self.opens_at,
            closes_at=min(closings),
            payouts=tuple(
                Payout(score=str(one.display_name or one.name), multiplier=one.multiplier, clip=one.clip)
                for one in self.pays or ()
                if one.is_payout and one.multiplier is not None
            ),
            factor=self.factor,
        )


@dataclass(kw_only=True)
class PickleStep:
    """
    A step of a pickle's run, as the API lists it.

    Attributes:
        status: Name of the state.
        description: Details; ``None`` if there are none.
    """

    status: Annotated[Text | None, or_else(None)] = None
    description: Annotated[Text | None, or_else(None)] = None


@dataclass(kw_only=True)
class PickleRun:
    """
    A run of a pickle, as the API lists it.

    Attributes:
        id: Numerai's id of the run; empty if the API returned none.
        status: Name of the state.
        steps: The steps; ``None`` if the API returned none.
    """

    id: Annotated[Text, or_else("")] = ""
    status: Annotated[Text | None, or_else(None)] = None
    steps: Annotated[list[PickleStep] | None, or_else(None), Field(validation_alias="statuses")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pickle:
    """
    A Model Upload: a pickle that Numerai holds.

    Attributes:
        id: Numerai's id of the upload; empty if the API returned none.
        filename: Name of the file; empty if the API returned none.
        validation: State of Numerai's validation, such as ``validated``; empty if the API returned none.
        run: State of the newest run for a round, such as ``submission_succeeded``; empty before the first.
        remark: Numerai's remark on the pickle's diagnostics.
        runs: Runs of the pickle; ``None`` where they were not requested.
    """

    id: Annotated[Text, or_else("")] = ""
    filename: Annotated[Text, or_else("")] = ""
    validation: Annotated[Text, or_else(""), Field(validation_alias="validationStatus")] = ""
    run: Annotated[Text, or_else(""), Field(validation_alias="triggerStatus")] = ""
    remark: Annotated[Text, or_else(""), Field(validation_alias="diagnosticsStatusDescription")] = ""
    runs: Annotated[list[PickleRun] | None, or_else(None), Field(validation_alias="triggers")] = None

    @property
    def is_validated(self) -> bool:
        """Return whether Numerai has accepted the pickle."""
        return _ended_well(self.validation)

    @property
    def is_refused(self) -> bool:
        """Return whether Numerai's validation has refused the pickle."""
        return _ended_badly(self.validation)

    @property
    def has_failed(self) -> bool:
        """Return whether the newest run for a round has failed."""
        return _ended_badly(self.run)

    @property
    def reason(self) -> str:
        """Return Numerai's description of the last failed step, else its remark; empty where there is neither."""
        steps = [step for one in self.runs or () for step in one.steps or ()]
        failed = [one.description for one in steps if one.description and _ended_badly(one.status or "")]
        return failed[-1] if failed else self.remark

    @property
    def failed_run(self) -> str:
        """Return the id of the last run that failed; empty where none did."""
        return next((one.id for one in reversed(self.runs or ()) if _ended_badly(one.status or "")), "")


_GOOD = ("validated", "passed", "success", "succeeded", "completed", "done", "ready")
_BAD = ("fail", "error", "invalid", "timeout", "timed_out", "cancel", "rejected")
"""Last words of states that ended well, and parts of states that ended badly: the API's schema lists no states."""


def _ended_well(state: str) -> bool:
    return not _ended_badly(state) and state.lower().replace("_", " ").split(" ")[-1] in _GOOD


def _ended_badly(state: str) -> bool:
    return any(part in state.lower() for part in _BAD)


@dataclass(kw_only=True)
class Model:
    """
    A model of an account.

    Attributes:
        name: Name of the model.
        id: Numerai's id of the model; empty where it was not requested.
        tournament: Id of the tournament; ``None`` if the API returned none.
        pickle: The Model Upload that Numerai runs itself; ``None`` if there is none.
    """

    name: Name
    id: Annotated[Text, or_else("")] = ""
    tournament: Annotated[Count | None, or_else(None)] = None
    pickle: Annotated[Pickle | None, or_else(None), Field(validation_alias="computePickleUpload")] = None


@dataclass(kw_only=True)
class ApiToken:
    """
    An API key of the account.

    Attributes:
        public_id: Public half of the key.
        scopes: What it allows.
    """

    public_id: Text
    scopes: list[Text]


@dataclass(kw_only=True)
class NamedOption:
    """
    An option of Model Uploads, such as an image.

    Attributes:
        id: Numerai's id.
        name: Name of the option.
    """

    id: Name
    name: Name


@dataclass(kw_only=True)
class StoredFile:
    """
    A file that the server holds.

    Attributes:
        id: Numerai's id.
        filename: Name of the file.
    """

    id: Name
    filename: Name


@dataclass(kw_only=True)
class Stake:
    """
    The stake of a model in one round.

    Attributes:
        round: Number of the round.
        nmr: NMR at risk.
    """

    round: Annotated[Count, Field(validation_alias="roundNumber")]
    nmr: Annotated[Amount, Field(validation_alias="atRisk")]


@dataclass(kw_only=True)
class DiagnosedEra:
    """
    Scores of one era in Numerai's diagnostics; each ``None`` if the API returned none.

    Attributes:
        era: Name of the era.
        corr: CORR.
        bmc: BMC.
        mmc: MMC.
    """

    era: Name
    corr: Annotated[Amount | None, or_else(None), Field(validation_alias="validationCorrV4")] = None
    bmc: Annotated[Amount | None, or_else(None), Field(validation_alias="validationBmc")] = None
    mmc: Annotated[Amount | None, or_else(None), Field(validation_alias="validationMmc")] = None


@dataclass(kw_only=True)
class ListedDiagnostics:
    """
    Diagnostics as the API lists them.

    Attributes:
        status: ``done``, or a name of a pending or failed state.
        message: Reason of a failure; ``None`` if there is none.
        accepted: Number of eras that were accepted.
        eras: Scores by era.
    """

    status: Name
    message: Annotated[Text | None, or_else(None)] = None
    accepted: Annotated[Count, or_else(0), Field(validation_alias="erasAcceptedCount")] = 0
    eras: Annotated[
        list[Annotated[DiagnosedEra | None, or_else(None)]] | None,
        or_else(None),
        Field(validation_alias="perEraDiagnostics"),
    ] = None

    def diagnostics(self) -> Diagnostics:
        """Return the diagnostics with their scores by name and era."""
        eras = [one for one in self.eras or () if one is not None]
        found = {
            "corr": {one.era: one.corr for one in eras if one.corr is not None},
            "bmc": {one.era: one.bmc for one in eras if one.bmc is not None},
            "mmc": {one.era: one.mmc for one in eras if one.mmc is not None},
        }
        return Diagnostics(status=self.status, message=self.message or None, eras=self.accepted, scores=found)
