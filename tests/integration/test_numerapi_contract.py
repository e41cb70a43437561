"""The sandbox serves every query of unmodified numerapi 3.1.1."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numerapi
import pandas as pd
import pytest
import requests

from bot.errors import BadConfig
from bot.sandbox._events import cause
from bot.sandbox._hosting import IMAGES, VERSIONS
from bot.sandbox.clock import SandboxClock
from bot.sandbox.demo import serve
from bot.sandbox.faults import Fault
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import DEMO_ACCOUNT, demo_account
from bot.sandbox.world.generate import World
from tests.harness.installation import FIRST_ROUND, SLOT

MODEL = DEMO_ACCOUNT.models[SLOT]
ANOTHER = "5a9db0c5-0000-4000-8000-00000000000f"
OWNER = replace(DEMO_ACCOUNT, username="owner", scopes=(*DEMO_ACCOUNT.scopes, "stake"))
CLI = """query ( $modelId: String! ) { submissions( modelId: $modelId ){ round{ number, tournament }, triggerId
    insertedAt } }"""
READ_BACK = """query($modelId: String!) { submissions(modelId: $modelId) { id filename insertedAt selected status
    errorInfo triggerId round { number tournament } } }"""
PICKLES = """query ListComputePickles($modelId: ID, $unassigned: Boolean!) {
    computePickles(modelId: $modelId, unassigned: $unassigned) { id filename modelId assignedModelSlots validationStatus
    diagnosticsStatus triggerStatus insertedAt updatedAt triggers { id status statuses { status description } } } }"""
ASSIGN = "mutation($modelId: String, $pickleId: ID) { assignPickleToModel(modelId: $modelId, pickleId: $pickleId) }"
HOSTED = "query { account { models { id name computePickleUpload { id filename validationStatus triggerStatus } } } }"
LOG = "query TriggerLogs($triggerId: ID!) { triggerLogs(triggerId: $triggerId) { timestamp message } }"
TRIGGER = "mutation ( $modelId: String! ) { triggerModelWebhook( modelId: $modelId ) }"


@pytest.fixture
def sandbox(world_folder):
    """A tournament around the present moment, since numerapi uses the local clock."""
    now = datetime.now(UTC).replace(microsecond=0)
    first = {"first_round": FIRST_ROUND, "first_open": now - timedelta(minutes=5)}
    schedule = Schedule.every(timedelta(days=1), window=timedelta(hours=2), resolve_after=2, **first)
    world, clock = World.open(world_folder), SandboxClock(now, rate=0)
    with Sandbox(world, clock=clock, schedule=schedule, accounts=(OWNER,)) as running:
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


@pytest.mark.parametrize(
    ("method", "arguments", "expected"),
    [
        ("get_current_round", (), FIRST_ROUND),
        ("check_round_open", (), True),
        ("check_new_round", (), True),
        ("get_models", (), {SLOT: MODEL}),
        ("get_models", (11,), {}),
        ("modelid_to_modelname", (MODEL,), SLOT),
        ("wallet_transactions", (), []),
        ("pending_model_payouts", (), {"actual": [], "pending": []}),
        ("stake_get", (SLOT,), Decimal(0)),
        ("stake_set", (0, MODEL), None),
        ("submission_ids", (MODEL,), []),
        ("submission_scores", (MODEL,), []),
        ("diagnostics", (MODEL,), []),
        ("model_upload_data_versions", (), VERSIONS),
        ("model_upload_docker_images", (), IMAGES),
    ],
)
def test_queries_without_uploads(api, method, arguments, expected):
    """Before any upload, each query returns the value that numerapi documents."""
    assert getattr(api, method)(*arguments) == expected


def test_between_rounds(api, sandbox):
    """After the close numerapi returns no round, and raises no error."""
    sandbox.clock.advance(timedelta(hours=3))

    assert (api.get_current_round(), api.check_round_open(), api.check_new_round()) == (None, False, False)


def test_list_rounds(api, sandbox):
    """A round has its times as datetimes and its score configurations."""
    (listed,) = api.list_rounds(number=FIRST_ROUND)
    window = sandbox.tournament.schedule.round(FIRST_ROUND)

    assert (listed["number"], listed["tournament"], listed["target"]) == (FIRST_ROUND, 8, "target_ender_60")
    assert (listed["openTime"], listed["closeStakingTime"]) == (window.opens_at, window.closes_at)
    assert isinstance(listed["payoutFactor"], Decimal)
    assert {one["displayName"]: one["defaultMultiplier"] for one in listed["roundScoreConfigs"]} == {
        "corr60": 3.0,
        "mmc60": 15.0,
    }


@pytest.mark.parametrize(("status", "number"), [("open", FIRST_ROUND), ("upcoming", FIRST_ROUND + 1)])
def test_list_rounds_by_status(api, status, number):
    """Rounds are listed by their status."""
    assert [one["number"] for one in api.list_rounds(status=status)] == [number]


def test_list_datasets(api):
    """All files of the data version are listed, with the live ones."""
    names = {"features.json", "train.parquet", "validation.parquet", "live.parquet", "meta_model.parquet"}

    assert {f"v5.3/{name}" for name in names} <= set(api.list_datasets())


def test_download_dataset(api, sandbox, tmp_path):
    """A downloaded file has the ids and the era of the open round."""
    path = api.download_dataset("v5.3/live.parquet", dest_path=str(tmp_path / "live.parquet"))
    frame = pd.read_parquet(path)

    assert frame.index.tolist() == sandbox.tournament.live_ids(FIRST_ROUND)
    assert frame["era"].unique().tolist() == ["X"]


def test_download_of_a_missing_file(api, tmp_path):
    """A missing file has a URL, whose download is forbidden."""
    with pytest.raises(requests.HTTPError, match="403"):
        api.download_dataset("v5.3/nothing.parquet", dest_path=str(tmp_path / "nothing.parquet"))


def test_get_account(api):
    """The account has its models and the scopes of its key."""
    account = api.get_account()

    assert (account["username"], account["models"][0]["name"]) == ("owner", SLOT)
    assert account["apiTokens"][0]["scopes"] == list(OWNER.scopes)


def test_upload_predictions(sandbox, submitted):
    """An upload becomes a selected submission to the open round."""
    (held,) = sandbox.tournament.submissions

    assert (held.id, held.round, held.selected, held.late) == (submitted, FIRST_ROUND, True, False)


def test_upload_of_a_file(api, sandbox, predictions, tmp_path):
    """A file on disk is uploaded byte for byte."""
    predictions.to_csv(tmp_path / "file.csv", index=False)
    api.upload_predictions(str(tmp_path / "file.csv"), model_id=MODEL)

    assert sandbox.tournament.submissions[0].content == (tmp_path / "file.csv").read_bytes()


def test_upload_that_is_refused(api, predictions):
    """The create mutation returns the error of Numerai's validation."""
    with pytest.raises(ValueError, match="invalid_submission_values: values must be between 0 and 1 exclusive"):
        api.upload_predictions("p.csv", model_id=MODEL, df=predictions.assign(prediction=2.0))


def test_upload_to_the_only_model(api, sandbox, predictions, monkeypatch):
    """An account with one model need not name it; the id of a trigger is kept."""
    monkeypatch.setenv("TRIGGER_ID", "trigger")
    api.upload_predictions("p.csv", df=predictions)
    (held,) = sandbox.tournament.submissions

    assert (held.slot, held.trigger_id) == (SLOT, "trigger")


def test_upload_to_a_foreign_model(api, predictions):
    """A model of no account is not found."""
    with pytest.raises(ValueError, match="Model not found"):
        api.upload_predictions("p.csv", model_id=ANOTHER, df=predictions)


def test_submission_ids(api, submitted):
    """A model's submissions have the names that the server gave them."""
    (listed,) = api.submission_ids(MODEL)

    assert listed["id"] == submitted
    assert listed["filename"].startswith("p-")


def test_download_submission(api, submitted, predictions, tmp_path):
    """A downloaded submission equals the uploaded one."""
    path = api.download_submission(submitted, dest_path=str(tmp_path / "back.csv"))

    pd.testing.assert_frame_equal(pd.read_csv(path), predictions)


def test_get_submission_filenames(api, submitted, predictions):
    """Only the selected file of each round is listed."""
    api.upload_predictions("q.csv", model_id=MODEL, df=predictions)
    (listed,) = api.get_submission_filenames(model_id=MODEL)

    assert (listed["round_num"], listed["tournament"]) == (FIRST_ROUND, 8)
    assert listed["filename"].startswith("q-")


@pytest.mark.parametrize("query", [CLI, READ_BACK], ids=["numerai-cli", "read back"])
def test_submissions(api, submitted, query):
    """The sandbox lists submissions for numerai-cli and the bot, for which numerapi has no method."""
    (listed,) = api.raw_query(query, {"modelId": MODEL}, authorization=True)["data"]["submissions"]
    known = {"triggerId": None, "round": {"number": FIRST_ROUND, "tournament": 8}}
    more = {"id": submitted, "selected": True, "status": "success", "errorInfo": None}

    assert listed.items() >= (known if query is CLI else known | more).items()
    assert datetime.fromisoformat(listed["insertedAt"]) <= datetime.now(UTC)


@pytest.mark.usefixtures("submitted")
def test_submission_scores(api, sandbox):
    """A resolved round has all scores, or the requested one."""
    sandbox.clock.advance(timedelta(days=2))
    listed = {one["displayName"]: one for one in api.submission_scores(MODEL)}
    (alone,) = api.submission_scores(MODEL, display_name="mmc60")

    assert {"corr60", "mmc60"} <= set(listed)
    assert (listed["corr60"]["roundNumber"], listed["corr60"]["resolved"]) == (FIRST_ROUND, True)
    assert alone == listed["mmc60"]


def test_scores_of_the_last_rounds(api, sandbox, submitted, predictions):
    """Rounds before the last *n* are left out."""
    sandbox.clock.advance(timedelta(days=1))
    api.upload_predictions("q.csv", model_id=MODEL, df=predictions)
    sandbox.clock.advance(timedelta(days=5))

    assert {one["roundNumber"] for one in api.submission_scores(MODEL)} == {FIRST_ROUND, FIRST_ROUND + 1}
    assert {one["roundNumber"] for one in api.submission_scores(MODEL, last_n_rounds=1)} == {FIRST_ROUND + 1}


@pytest.mark.usefixtures("submitted")
def test_older_listings_of_scores(api):
    """The deprecated listings contain the round, too."""
    with pytest.warns(DeprecationWarning, match="v2RoundModelPerformances"):
        (listed,) = api.round_model_performances_v2(MODEL)

    assert (listed["roundNumber"], listed["roundResolved"]) == (FIRST_ROUND, False)
    assert api.intra_round_scores(MODEL) == [{"roundNumber": FIRST_ROUND, "intraRoundSubmissionScores": []}]


def test_pipeline_status(api, sandbox):
    """The data became ready when the round opened."""
    assert api.pipeline_status()["dataReadyAt"] == sandbox.tournament.schedule.round(FIRST_ROUND).opens_at


def test_diagnostics(api, sandbox, world_folder):
    """Diagnostics are pending at first and then have a score for each era."""
    rows = pd.read_parquet(world_folder / "v5.3" / "validation_example_preds.parquet").reset_index()
    identity = api.upload_diagnostics("d.csv", model_id=MODEL, df=rows)
    (pending,) = api.diagnostics(MODEL, identity)
    (done,) = api.diagnostics(MODEL, identity)

    assert (pending["status"], done["status"]) == ("pending", "done")
    assert done["erasAcceptedCount"] == len(done["perEraDiagnostics"]) > 20
    assert done["validationCorrMean"] > 0.02


def test_set_submission_webhook(api, sandbox):
    """A webhook can be set and cleared, and numerai-cli's trigger returns an id."""
    triggered = api.raw_query(TRIGGER, {"modelId": MODEL}, authorization=True)["data"]["triggerModelWebhook"]

    assert len(triggered) == 36
    assert api.set_submission_webhook(MODEL, "https://example.org/hook") is True
    assert sandbox.tournament.webhooks == {MODEL: "https://example.org/hook"}
    assert api.set_submission_webhook(MODEL) is True
    assert sandbox.tournament.webhooks == {MODEL: None}


def pickles(api):
    """Return the pickles of the model as Numerai's own queries list them; numerapi has no method for it."""
    return api.raw_query(PICKLES, {"modelId": MODEL, "unassigned": False}, authorization=True)["data"]["computePickles"]


@pytest.fixture
def pickle(api, tmp_path):
    """Id of an uploaded pickle."""
    (tmp_path / "m.pkl").write_bytes(b"pickle")
    return api.model_upload(str(tmp_path / "m.pkl"), model_id=MODEL, data_version="v5.3", docker_image="Python 3.11")


def test_model_upload(api, sandbox, pickle):
    """A pickle is stored and validated step by step; the sandbox does not run it."""
    states = [pickles(api)[0]["validationStatus"] for _ in range(3)]
    (listed,) = pickles(api)

    assert b"pickle" in sandbox.tournament.uploaded.values()
    assert (listed["id"], listed["filename"][:2], listed["assignedModelSlots"]) == (pickle, "m-", [])
    assert states == ["validating", "validated", "validated"]


@pytest.mark.parametrize(
    ("option", "value"), [("data_version", ANOTHER), ("docker_image", ANOTHER), ("data_version", "v1")]
)
def test_model_upload_with_an_unknown_option(api, tmp_path, option, value):
    """An id that Numerai does not offer is refused by the server, a name by numerapi."""
    (tmp_path / "m.pkl").write_bytes(b"pickle")
    with pytest.raises(ValueError, match=r"not found|needs to be one of"):
        api.model_upload(str(tmp_path / "m.pkl"), model_id=MODEL, **{option: value})


def test_an_assigned_pickle_submits_and_shuts_the_api_out(api, sandbox, pickle, predictions):
    """A validated pickle is assigned, submits to the open round, and blocks submissions by API."""
    for _ in range(2):
        pickles(api)
    answered = api.raw_query(ASSIGN, {"modelId": MODEL, "pickleId": pickle}, authorization=True)
    (model,) = api.raw_query(HOSTED, authorization=True)["data"]["account"]["models"]

    assert answered["data"]["assignPickleToModel"] == "true"
    assert model["computePickleUpload"]["id"] == pickle
    assert model["computePickleUpload"]["triggerStatus"] == "submission_succeeded"
    assert [one.filename[:2] for one in sandbox.tournament.submissions] == ["m-"]
    with pytest.raises(ValueError, match="submissions over the API are disabled"):
        api.upload_predictions("p.csv", model_id=MODEL, df=predictions)


def test_a_pickle_that_is_not_validated_is_not_assigned(api, pickle):
    """An assignment before the end of the validation is refused, and so is one of an unknown pickle."""
    with pytest.raises(ValueError, match="not validated: pending"):
        api.raw_query(ASSIGN, {"modelId": MODEL, "pickleId": pickle}, authorization=True)
    with pytest.raises(ValueError, match="Pickle not found"):
        api.raw_query(ASSIGN, {"modelId": MODEL, "pickleId": ANOTHER}, authorization=True)


def test_a_pickle_is_taken_off_its_model(api, sandbox, pickle):
    """An assignment of no pickle ends the hosting."""
    for _ in range(2):
        pickles(api)
    for wanted in (pickle, None):
        api.raw_query(ASSIGN, {"modelId": MODEL, "pickleId": wanted}, authorization=True)

    assert sandbox.tournament.hosted == {}


def test_a_failed_run_has_a_log(api, sandbox, pickle):
    """A validation that fails lists its run with the reason, and the run's log has it as its last line."""
    cause(sandbox.tournament, Fault(operation="*", kind="pickle_fails", seconds=60, message="no module named x"))
    (listed,) = pickles(api)
    (run,) = listed["triggers"]
    log = api.raw_query(LOG, {"triggerId": run["id"]}, authorization=True)["data"]["triggerLogs"]

    assert (listed["id"], listed["validationStatus"], run["status"]) == (pickle, "failed", "failed")
    assert run["statuses"][0]["description"] == log[-1]["message"] == "no module named x"


def test_stake_changes_are_acknowledged(api):
    """Stake mutations return the type and the amount of the request."""
    up, down, drained = api.stake_increase(1, MODEL), api.stake_decrease("2.5", MODEL), api.stake_drain(MODEL)

    assert (up["type"], up["requestedAmount"]) == ("increase", Decimal(1))
    assert (down["type"], down["requestedAmount"]) == ("decrease", Decimal("2.5"))
    assert (drained["drain"], drained["requestedAmount"]) == (True, "11000000")


def test_public_profile_and_staking_contract(api):
    """The public profile and the staking contract are returned."""
    profile = api.public_user_profile(SLOT)

    assert (profile["username"], profile["nmrStaked"]) == (SLOT, Decimal(0))
    assert api.v3_stake_config()["paused"] is False


def test_wrong_key_is_refused(sandbox, monkeypatch):
    """A key that the sandbox does not know is refused."""
    monkeypatch.setattr("numerapi.base_api.API_TOURNAMENT_URL", sandbox.url)
    stranger = numerapi.NumerAPI("A", "B", verbosity="CRITICAL")
    with pytest.raises(ValueError, match="session"):
        stranger.get_models()


def test_models_have_the_names_that_a_person_chooses(sandbox, api):
    """Each name of `bot sandbox --models` is a model with an id of its own; the first has that of the demo's."""
    sandbox.tournament.accounts = (demo_account(("one", "two")),)
    models = api.get_models()

    assert list(models) == ["one", "two"]
    assert models["one"] == MODEL != models["two"]


@pytest.mark.parametrize("models", ["", " , "])
def test_no_model_is_refused(tmp_path, models):
    """An empty list of names is an error of one line, before anything is served."""
    options = {"datasets": None, "world": tmp_path, "size": "tiny", "port": 0, "every_s": 60, "window_s": 50}
    with pytest.raises(BadConfig, match="names no model; write names separated by commas"):
        serve(**options, host="127.0.0.1", models=models, announce=print)
