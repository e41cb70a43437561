"""Everything unmodified numerapi 3.1.1 can ask, answered by the sandbox."""

import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numerapi
import pandas as pd
import pytest

from bot.sandbox import DEMO_ACCOUNT, Account, Sandbox, SandboxClock, Schedule
from bot.sandbox.world import World
from tests.integration.conftest import FIRST_ROUND, SLOT

MODEL = DEMO_ACCOUNT.models[SLOT]
OWNER = Account(
    username="owner",
    public_id=DEMO_ACCOUNT.public_id,
    secret_key=DEMO_ACCOUNT.secret_key,
    models=DEMO_ACCOUNT.models,
    scopes=(*DEMO_ACCOUNT.scopes, "stake"),
)


@pytest.fixture
def sandbox(world_folder):
    """A tournament around the present moment, since numerapi asks the local clock."""
    now = datetime.now(UTC).replace(microsecond=0)
    schedule = Schedule.every(
        timedelta(days=1),
        window=timedelta(hours=2),
        first_round=FIRST_ROUND,
        first_open=now - timedelta(minutes=5),
        resolve_after=2,
    )
    with Sandbox(
        World.open(world_folder), clock=SandboxClock(now, rate=0), schedule=schedule, accounts=(OWNER,)
    ) as running:
        yield running


@pytest.fixture
def api(sandbox, monkeypatch):
    monkeypatch.setattr("numerapi.base_api.API_TOURNAMENT_URL", sandbox.url)
    return numerapi.NumerAPI(OWNER.public_id, OWNER.secret_key, verbosity="CRITICAL", show_progress_bars=False)


@pytest.fixture
def predictions(sandbox):
    """A frame that the open round accepts."""
    ids = sandbox.tournament.live_ids(FIRST_ROUND)
    return pd.DataFrame({"id": ids, "prediction": [(rank + 1) / (len(ids) + 1) for rank in range(len(ids))]})


@pytest.fixture
def submitted(api, predictions):
    """Id of a submission to the open round."""
    return api.upload_predictions("p.csv", model_id=MODEL, df=predictions)


def test_get_current_round(api):
    """The open round's number."""
    assert api.get_current_round() == FIRST_ROUND


def test_check_round_open(api):
    """Whether the round is open by the local clock."""
    assert api.check_round_open() is True


def test_check_new_round(api):
    """Whether a round opened lately."""
    assert api.check_new_round() is True


def test_list_rounds(api, sandbox):
    """A round with its times as datetimes and its score configurations."""
    (listed,) = api.list_rounds(number=FIRST_ROUND)

    assert listed["openTime"] == sandbox.tournament.schedule.round(FIRST_ROUND).opens_at
    assert isinstance(listed["payoutFactor"], Decimal)
    assert {one["displayName"]: one["defaultMultiplier"] for one in listed["roundScoreConfigs"]} == {
        "corr60": 3.0,
        "mmc60": 15.0,
    }


@pytest.mark.parametrize(("status", "number"), [("open", FIRST_ROUND), ("upcoming", FIRST_ROUND + 1)])
def test_list_rounds_by_status(api, status, number):
    """Rounds can be asked for by their status."""
    assert [one["number"] for one in api.list_rounds(status=status)] == [number]


def test_list_datasets(api):
    """All files of the data version, the live ones among them."""
    names = {"features.json", "train.parquet", "validation.parquet", "live.parquet", "meta_model.parquet"}

    assert {f"v5.3/{name}" for name in names} <= set(api.list_datasets())


def test_download_dataset(api, sandbox, tmp_path):
    """A file arrives as the server has it."""
    path = api.download_dataset("v5.3/live.parquet", dest_path=str(tmp_path / "live.parquet"))
    frame = pd.read_parquet(path)

    assert frame.index.tolist() == sandbox.tournament.live_ids(FIRST_ROUND)
    assert frame["era"].unique().tolist() == ["X"]


def test_get_models(api):
    """The account's models by name."""
    assert api.get_models() == {SLOT: MODEL}


def test_get_account(api):
    """The account with its models and its key's scopes."""
    account = api.get_account()

    assert (account["username"], account["models"][0]["name"]) == ("owner", SLOT)
    assert account["apiTokens"][0]["scopes"] == list(OWNER.scopes)


def test_modelid_to_modelname(api):
    """A model's name by its id."""
    assert api.modelid_to_modelname(MODEL) == SLOT


def test_upload_predictions(sandbox, submitted):
    """An upload becomes a selected submission to the open round."""
    (held,) = sandbox.tournament.submissions

    assert (held.id, held.round, held.selected, held.late) == (submitted, FIRST_ROUND, True, False)


def test_upload_of_a_file(api, sandbox, predictions, tmp_path):
    """A file on disk arrives byte for byte."""
    predictions.to_csv(tmp_path / "file.csv", index=False)
    api.upload_predictions(str(tmp_path / "file.csv"), model_id=MODEL)

    assert sandbox.tournament.submissions[0].content == (tmp_path / "file.csv").read_bytes()


def test_upload_that_is_refused(api, predictions):
    """Numerai's own validation speaks through the create mutation."""
    with pytest.raises(ValueError, match="invalid_submission"):
        api.upload_predictions("p.csv", model_id=MODEL, df=predictions.assign(prediction=2.0))


def test_upload_to_the_only_model(api, sandbox, predictions):
    """An account with one model need not name it."""
    api.upload_predictions("p.csv", df=predictions)

    assert sandbox.tournament.submissions[0].slot == SLOT


def test_submission_ids(api, submitted):
    """A model's submissions with the names the server gave them."""
    (listed,) = api.submission_ids(MODEL)

    assert listed["id"] == submitted
    assert listed["filename"].startswith("p-")


def test_download_submission(api, submitted, predictions, tmp_path):
    """A submission comes back as it was sent."""
    path = api.download_submission(submitted, dest_path=str(tmp_path / "back.csv"))

    pd.testing.assert_frame_equal(pd.read_csv(path), predictions)


@pytest.mark.usefixtures("submitted")
def test_get_submission_filenames(api):
    """A model's file names by round."""
    (listed,) = api.get_submission_filenames(model_id=MODEL)

    assert (listed["round_num"], listed["tournament"]) == (FIRST_ROUND, 8)
    assert listed["filename"].startswith("p-")


@pytest.mark.usefixtures("submitted")
def test_submissions_as_numerai_cli_asks(api):
    """The listing with the fields that numerai-cli asks for."""
    query = """query ( $modelId: String! ) {
        submissions( modelId: $modelId ){ round{ number, tournament }, triggerId insertedAt } }"""
    (listed,) = api.raw_query(query, {"modelId": MODEL}, authorization=True)["data"]["submissions"]

    assert listed["round"] == {"number": FIRST_ROUND, "tournament": 8}
    assert set(listed) == {"round", "triggerId", "insertedAt"}


@pytest.mark.usefixtures("submitted")
def test_submission_scores(api, sandbox):
    """Scores appear once the round has resolved, and not before."""
    before = api.submission_scores(MODEL)
    sandbox.clock.advance(timedelta(days=2))
    after = {one["displayName"]: one for one in api.submission_scores(MODEL)}

    assert before == []
    assert {"corr60", "mmc60"} <= set(after)
    assert (after["corr60"]["roundNumber"], after["corr60"]["resolved"]) == (FIRST_ROUND, True)


@pytest.mark.usefixtures("submitted")
def test_round_model_performances_v2(api):
    """The older listing of rounds and scores."""
    with pytest.warns(DeprecationWarning, match="v2RoundModelPerformances"):
        (listed,) = api.round_model_performances_v2(MODEL)

    assert (listed["roundNumber"], listed["roundResolved"]) == (FIRST_ROUND, False)


@pytest.mark.usefixtures("submitted")
def test_intra_round_scores(api):
    """The oldest listing of scores."""
    (listed,) = api.intra_round_scores(MODEL)

    assert listed["roundNumber"] == FIRST_ROUND


def test_pipeline_status(api, sandbox):
    """When the open round's data became ready."""
    assert api.pipeline_status()["dataReadyAt"] == sandbox.tournament.schedule.round(FIRST_ROUND).opens_at


def test_diagnostics(api, sandbox, world_folder):
    """Validation predictions are diagnosed era by era, once the client has polled."""
    rows = pd.read_parquet(world_folder / "v5.3" / "validation_example_preds.parquet").reset_index()
    identity = api.upload_diagnostics("d.csv", model_id=MODEL, df=rows)
    (pending,) = api.diagnostics(MODEL, identity)
    (done,) = api.diagnostics(MODEL, identity)

    assert (pending["status"], done["status"]) == ("pending", "done")
    assert done["erasAcceptedCount"] == len(done["perEraDiagnostics"]) > 20
    assert done["validationCorrMean"] > 0.02


def test_set_submission_webhook(api, sandbox):
    """A webhook can be set and cleared."""
    assert api.set_submission_webhook(MODEL, "https://example.org/hook") is True
    assert sandbox.tournament.webhooks == {MODEL: "https://example.org/hook"}


def test_trigger_model_webhook(api):
    """numerai-cli's trigger answers with an id."""
    query = "mutation ( $modelId: String! ) { triggerModelWebhook( modelId: $modelId ) }"

    assert len(api.raw_query(query, {"modelId": MODEL}, authorization=True)["data"]["triggerModelWebhook"]) == 36


def test_model_upload(api, sandbox, tmp_path):
    """A pickle can be put; what it would do is out of scope."""
    (tmp_path / "m.pkl").write_bytes(b"pickle")
    identity = api.model_upload(str(tmp_path / "m.pkl"), model_id=MODEL, data_version="v5.3")

    assert len(identity) == 36
    assert b"pickle" in sandbox.tournament.uploaded.values()


def test_model_upload_choices(api):
    """Data versions and images to choose from."""
    assert api.model_upload_data_versions() == {"v5.3": "data-version"}
    assert api.model_upload_docker_images() == {"Python 3.11": "docker-image"}


def test_money_is_not_played_for(api):
    """Nothing is staked, paid or pending."""
    assert api.wallet_transactions() == []
    assert api.stake_get(SLOT) == 0
    assert api.pending_model_payouts() == {"actual": [], "pending": []}


def test_stake_changes_are_acknowledged(api):
    """Stake mutations answer in their own form."""
    assert api.stake_increase(1, model_id=MODEL)["type"] == "increase"
    assert api.stake_drain(model_id=MODEL)["type"] == "drain"


def test_public_profile_and_staking_contract(api):
    """Public lookups answer in their own form."""
    config = api.raw_query("query { v3StakeConfig { address owner paused } }", authorization=True)["data"]

    assert api.public_user_profile(SLOT)["username"] == SLOT
    assert config["v3StakeConfig"]["paused"] is False


def test_wrong_key_is_refused(sandbox, monkeypatch):
    """A key the sandbox does not know sees nothing."""
    monkeypatch.setattr("numerapi.base_api.API_TOURNAMENT_URL", sandbox.url)
    stranger = numerapi.NumerAPI("A", "B", verbosity="CRITICAL")
    with pytest.raises(ValueError, match="session"):
        stranger.get_models()


def test_csv_is_what_was_meant(sandbox, submitted, predictions):
    """The held file reads back as the frame that was uploaded."""
    frame = pd.read_csv(io.BytesIO(sandbox.tournament.submissions[0].content))

    pd.testing.assert_frame_equal(frame, predictions)
