"""
Build the parts of the bot from settings.

Below the command line, only this module, :mod:`bot.daemon.wiring` and the doctor read settings.
"""

import os
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from bot.errors import ArtifactInvalid, BadConfig, NoChampion, suggestion
from bot.record.diagnostics import DiagnosticsRecord, champions_to_diagnose
from bot.record.ledger import Ledger
from bot.record.outbox import Outbox
from bot.serving.artifacts import ArtifactStore
from bot.serving.version_pin import Pin
from bot.settings import Settings
from bot.submission.gates import Limits
from bot.tournament.slots import Slot
from bot.training.recipes import STARTER, Recipe, ResolvedRecipe

if TYPE_CHECKING:
    from bot.submission.submit import Submitter
    from bot.tournament.client import NumeraiClient
    from bot.tournament.transport import Transport

NUMERAI = "numer.ai"
"""Domain of Numerai's servers."""

log = structlog.get_logger()


def open_client(settings: Settings, transport: "Transport | None" = None) -> "NumeraiClient":
    """Return a client of the configured API, with the key of the settings where they have one."""
    # Imported here: commands that need no network pay nothing for its libraries.
    from bot.tournament.client import NumeraiClient  # noqa: PLC0415

    public, secret = settings.numerai_public_id, settings.numerai_secret_key
    return NumeraiClient(
        api_url=settings.api_url,
        public_id=public.get_secret_value() if public else None,
        secret_key=secret.get_secret_value() if secret else None,
        transport=transport,
        trigger_id=os.environ.get("TRIGGER_ID"),
    )


def open_ledger(settings: Settings) -> Ledger:
    """
    Return the ledger that rounds are filled by.

    Raises:
        BadConfig: It has rounds of the sandbox and the settings name Numerai, or the reverse.
    """
    ledger = Ledger(settings.ledger_path)
    host = urlsplit(settings.api_url).hostname or ""
    ledger.claim(for_numerai=host == NUMERAI or host.endswith(f".{NUMERAI}"))
    return ledger


def open_artifacts(settings: Settings) -> ArtifactStore:
    """Return the artifact store of the state directory."""
    return ArtifactStore(settings.state_dir / "artifacts")


def find_artifact(settings: Settings, identity: str | None) -> str:
    """
    Return the id that *identity* begins; where it is ``None``, the champion of the first recipe in use that has one.

    Raises:
        NoChampion: Nothing has been promoted yet.
        BadConfig: *identity* is not the beginning of exactly one id.
    """
    store = open_artifacts(settings)
    if identity:
        return store.find(identity)
    recipes = recipes_in_use(settings)
    return store.champions(next(filter(store.has_champion, recipes), recipes[0]))[0]


def open_submitter(settings: Settings, client: "NumeraiClient", ledger: Ledger) -> "Submitter":
    """Return a submitter; it uploads in live mode only."""
    # Imported here: they load the scoring libraries, and the daemon imports this module but never scores.
    from bot.submission.fallbacks import Fallbacks  # noqa: PLC0415
    from bot.submission.submit import Submitter  # noqa: PLC0415

    announce(pins(settings))
    return Submitter(
        client=client,
        ledger=ledger,
        fallbacks=Fallbacks(
            client=client,
            ledger=ledger,
            artifacts=open_artifacts(settings),
            state_dir=settings.state_dir,
            data_version=settings.data_version,
            threads=settings.threads,
            fallback=settings.fallback,
            starter=STARTER.name if settings.starter else "",
            reuse_last_round=settings.reuse_last_round,
        ),
        live=settings.mode == "live",
        limits=Limits(
            min_rows=settings.min_rows,
            max_exposure=settings.max_exposure,
            min_drift=settings.min_drift,
            warn_feature_drift=settings.warn_feature_drift,
            max_feature_drift=settings.max_feature_drift,
        ),
    )


def find_slots(settings: Settings, client: "NumeraiClient") -> tuple[Slot, ...]:
    """
    Return the configured slots.

    Raises:
        BadConfig: A slot is not a model of the account, or several models leave the choice open.
        BadCredentials: The key is missing or wrong.
    """
    found = []
    for one in match_slots(settings, client).values():
        if isinstance(one, BadConfig):
            raise one
        found.append(one)
    return tuple(found)


def match_slots(settings: Settings, client: "NumeraiClient") -> dict[str, Slot | BadConfig]:
    """
    Match the configured slots with the account's models; return each by its name, or the error of one that is no model.

    Raises:
        BadConfig: Several models leave the choice open.
        BadCredentials: The key is missing or wrong.
    """
    models = client.slots()
    wanted = settings.slots
    if not wanted:
        if len(models) != 1:
            raise BadConfig(
                f"the account has {len(models)} models ({_listed(models)}); set BOT_SLOTS=name=recipe to choose those to fill"
            )
        wanted = dict.fromkeys(models, settings.recipe)
    return {
        name: Slot(name=name, model_id=models[name], recipe=recipe)
        if name in models
        else BadConfig(
            f"slot {name!r} is not a model of this account; its models: {_listed(models)}{suggestion(name, models)}"
        )
        for name, recipe in wanted.items()
    }


def resolve_recipe(settings: Settings, recipe: Recipe, *, data_version: str) -> ResolvedRecipe:
    """Return a recipe on *data_version*, with the feature set and target of the settings where it pins none."""
    return recipe.resolved(data_version=data_version, feature_set=settings.feature_set, target=settings.target)


def recipes_in_use(settings: Settings) -> tuple[str, ...]:
    """Return the recipes of the slots of all accounts, each once, and the fallback recipe."""
    return tuple(dict.fromkeys((*slot_recipes(settings), *filter(None, (settings.fallback,)))))


def slot_recipes(settings: Settings) -> tuple[str, ...]:
    """Return the recipes of the slots of all accounts, each once."""
    filled = (account.slots.values() or [settings.recipe] for account in settings.accounts_in_use)
    return tuple(dict.fromkeys(chain.from_iterable(filled)))


def unfilled(settings: Settings) -> tuple[str, ...]:
    """Return the recipes of slots that no champion fills: neither one of their own, nor one of the fallback recipe."""
    artifacts = open_artifacts(settings)
    if settings.fallback and artifacts.has_champion(settings.fallback):
        return ()
    return tuple(one for one in slot_recipes(settings) if not artifacts.has_champion(one))


def undiagnosed(settings: Settings, recipes: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of champions of *recipes* that Numerai's diagnostics can score and have not scored yet."""
    artifacts, champions = open_artifacts(settings), {}
    for recipe in recipes:
        try:
            identity = artifacts.champions(recipe)[0]
        except (NoChampion, ArtifactInvalid):
            continue
        if artifacts.trained_on(identity, settings.state_dir / "store"):
            champions[recipe] = identity
    record, outbox = DiagnosticsRecord(settings.ledger_path), Outbox(settings.ledger_path)
    try:
        return champions_to_diagnose(champions, record.all(), outbox.open_alerts())
    finally:
        record.close()
        outbox.close()


def pins(settings: Settings, recipes: Sequence[str] = ()) -> tuple[Pin, ...]:
    """Return the data version of each of *recipes*, by default of those in use."""
    artifacts = open_artifacts(settings)
    return tuple(Pin.of(artifacts, one, settings.data_version) for one in recipes or recipes_in_use(settings))


def announce(pins: Sequence[Pin]) -> Sequence[Pin]:
    """Log each recipe whose data version differs from the setting; return *pins*."""
    for pin in pins:
        if pin.note:
            log.info("data_version.pinned", recipe=pin.recipe, note=pin.note)
    return pins


def versions(pins: Iterable[Pin]) -> tuple[str, ...]:
    """Return the data versions that rounds are scored with or recipes train on, each once."""
    return tuple(dict.fromkeys(chain.from_iterable((pin.in_use, pin.to_train) for pin in pins)))


def _listed(models: dict[str, str]) -> str:
    return ", ".join(sorted(models)) or "none"
