"""`bot diagnose`: Numerai's diagnostics of an artifact beside the bot's own scores."""

from collections.abc import Sequence
from contextlib import suppress

from bot import assembly
from bot.cli.answer import Answer
from bot.cli.console import kept_bar
from bot.errors import ArtifactInvalid, BotError, NoChampion
from bot.judging.judge import learned_elsewhere
from bot.judging.numerai_diagnostics import Diagnoser
from bot.record.diagnostics import DiagnosticsRecord
from bot.record.outbox import Outbox
from bot.serving.artifacts import ArtifactStore
from bot.settings import Settings, load_settings
from bot.system import logs
from bot.system.lock import state_lock


def diagnose_artifacts(artifact: str | None, *, account: str | None, force: bool) -> Answer:
    """
    Upload an artifact's validation predictions to Numerai's diagnostics, compare scores, and return the verdict.

    Args:
        artifact: Id of the artifact; by default every champion without diagnostics.
        account: One of several accounts; ``None`` for the only one.
        force: Upload again what has been diagnosed already.
    """
    settings = load_settings().of_account(account)
    logs.configure(**settings.logging)
    if settings.mode != "live":
        return _nothing("dry run: nothing is uploaded to Numerai's diagnostics; BOT_MODE=live does")
    recipes = assembly.recipes_in_use(settings)
    wanted = (assembly.find_artifact(settings, artifact),) if artifact else assembly.undiagnosed(settings, recipes)
    if force and not artifact:
        wanted = (assembly.find_artifact(settings, None),)
    if not wanted:
        return _nothing(*_reasons(settings, recipes))
    artifacts, client = assembly.open_artifacts(settings), assembly.open_client(settings)
    slots = assembly.find_slots(settings, client)
    with state_lock(settings.state_dir, "diagnose"), kept_bar(settings.state_dir, "diagnose") as report_progress:
        diagnoser = Diagnoser(
            client=client,
            record=DiagnosticsRecord(settings.ledger_path),
            outbox=Outbox(settings.ledger_path),
            artifacts=artifacts,
            state_dir=settings.state_dir,
            report_progress=report_progress,
        )
        done = []
        failed: list[BotError] = []
        for identity in wanted:
            try:
                recipe = artifacts.open(identity).manifest["recipe"]["name"]
                slot = next((one for one in slots if one.recipe == recipe), slots[0])
                found = diagnoser.diagnose(identity, slot, force=force)
            except BotError as error:
                failed.append(error)
            else:
                done.append({"artifact": identity, "state": found.state, "verdict": found.verdict})
    return Answer(
        lines=tuple(f"{one['artifact']}: {one['state']}: {one['verdict']}" for one in done),
        content={"diagnosed": done, "reasons": []},
        errors=failed,
    )


def _nothing(*reasons: str) -> Answer:
    """Return that nothing was uploaded, and why."""
    return Answer(lines=reasons, content={"diagnosed": [], "reasons": reasons}, errors=[])


def _why_not_scored(artifacts: ArtifactStore, identity: str) -> str:
    """Return why an artifact whose store is not here cannot be scored: it may never have had one."""
    with suppress(ArtifactInvalid):  # a damaged one has a check of its own
        if (elsewhere := learned_elsewhere(artifacts.open(identity))) is not None:
            return elsewhere.reason
    return "the store that it was trained on is not here, so it cannot be scored"


def _reasons(settings: Settings, recipes: Sequence[str]) -> Sequence[str]:
    """
    Return why nothing is uploaded.

    Raises:
        BotError: No recipe has a champion.
    """
    artifacts, reasons, absent = assembly.open_artifacts(settings), [], []
    for recipe in recipes:
        try:
            identity = artifacts.champions(recipe)[0]
        except (NoChampion, ArtifactInvalid) as error:
            absent.append(error)
            continue
        if not artifacts.trained_on(identity, settings.state_dir / "store"):
            reasons.append(f"{identity}: {_why_not_scored(artifacts, identity)}")
    if len(absent) == len(recipes):
        raise absent[0]
    known = "Numerai's diagnostics of every champion are known, see `bot status`; --force uploads again"
    return (*map(str, absent), *reasons) or (known,)
