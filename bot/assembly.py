"""From settings to wired use cases; the only place below the daemon that reads settings."""

from bot.artifacts import ArtifactStore
from bot.config import Settings, interval_s
from bot.daemon import Chore
from bot.delivery import Slot
from bot.errors import BadConfig
from bot.gates import Limits
from bot.ledger import Ledger
from bot.numerai import NumeraiClient
from bot.submit import Submitter
from bot.transport import Transport


def open_client(settings: Settings, transport: Transport | None = None) -> NumeraiClient:
    """Return a client of the configured API with whatever key there is."""
    public, secret = settings.numerai_public_id, settings.numerai_secret_key
    return NumeraiClient(
        api_url=settings.api_url,
        public_id=public.get_secret_value() if public else None,
        secret_key=secret.get_secret_value() if secret else None,
        transport=transport,
    )


def open_artifacts(settings: Settings) -> ArtifactStore:
    """Return the artifact store of the state directory."""
    return ArtifactStore(settings.state_dir / "artifacts")


def open_submitter(settings: Settings, client: NumeraiClient, ledger: Ledger) -> Submitter:
    """Return a submitter that uploads in live mode only."""
    return Submitter(
        client=client,
        ledger=ledger,
        artifacts=open_artifacts(settings),
        state_dir=settings.state_dir,
        data_version=settings.data_version,
        live=settings.mode == "live",
        limits=Limits(max_exposure=settings.max_exposure),
        threads=settings.threads,
    )


def find_slots(settings: Settings, client: NumeraiClient) -> tuple[Slot, ...]:
    """
    Match the configured slots with the account's models.

    Raises:
        BadConfig: A slot is not a model of the account, or several models leave the choice open.
        BadCredentials: The key is missing or wrong.
    """
    models = client.slots()
    wanted = settings.slots
    if not wanted:
        if len(models) != 1:
            raise BadConfig(
                f"the account has {len(models)} models ({_listed(models)}); set BOT_SLOTS=name=recipe to say which to fill"
            )
        wanted = dict.fromkeys(models, settings.recipe)
    for name in wanted:
        if name not in models:
            raise BadConfig(f"slot {name!r} is not a model of this account; its models: {_listed(models)}")
    return tuple(Slot(name=name, model_id=models[name], recipe=recipe) for name, recipe in wanted.items())


def recipes_in_use(settings: Settings) -> tuple[str, ...]:
    """Return the recipes that the slots need, each once."""
    return tuple(dict.fromkeys(settings.slots.values())) or (settings.recipe,)


def _listed(models: dict[str, str]) -> str:
    return ", ".join(sorted(models)) or "none"


def chores(settings: Settings) -> tuple[Chore, ...]:
    """Return what the daemon does beside the rounds; a retrain syncs too, so it comes first."""
    retrain = tuple(("retrain", "--recipe", name) for name in recipes_in_use(settings))
    planned = (("retrain", retrain, settings.retrain), ("sync", (("sync",),), settings.sync))
    return tuple(
        Chore(name=name, commands=commands, ledger_path=settings.ledger_path, every_s=every_s)
        for name, commands, schedule in planned
        if (every_s := interval_s(schedule)) is not None
    )
