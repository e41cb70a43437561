"""The last steps of a round: reconcile, guard, upload, read back, confirm."""

import hashlib
from contextlib import suppress
from datetime import timedelta

import pytest
import stamina
from structlog.testing import capture_logs

from bot.errors import BotError, DatasetIncomplete, NumeraiUnavailable, RefuseToSubmit, RoundNotOpen
from bot.live.selection import warn_unselected
from bot.record.ledger import Entry, Ledger
from bot.record.outbox import Outbox
from bot.sandbox.faults import Fault
from bot.sandbox.tournament import DEMO_ACCOUNT
from bot.submission._delivery import Delivery, token
from bot.system.kill_points import listening
from bot.tournament.client import NumeraiClient
from bot.tournament.slots import Slot
from bot.tournament.transport import Transport
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT

pytestmark = pytest.mark.usefixtures("no_backoff")
MINE = Slot(name=SLOT, model_id=DEMO_ACCOUNT.models[SLOT], recipe="demo")


@pytest.fixture
def client(sandbox):
    return NumeraiClient(
        api_url=sandbox.url,
        public_id=DEMO_ACCOUNT.public_id,
        secret_key=DEMO_ACCOUNT.secret_key,
        transport=Transport(connect_s=20, read_s=30, exchange_s=60),
    )


@pytest.fixture
def delivery(client, tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    yield Delivery(client=client, ledger=ledger)
    ledger.close()


@pytest.fixture
def content(sandbox):
    return predictions(sandbox.tournament.live_ids(FIRST_ROUND))


def predictions(ids, shift=0.0):
    rows = [f"{identity},{(index + 1 + shift) / (len(ids) + 2):.6f}" for index, identity in enumerate(ids)]
    return ("\n".join(["id,prediction", *rows]) + "\n").encode()


def intent(content, round_number=FIRST_ROUND, slot=SLOT):
    sha256 = hashlib.sha256(content).hexdigest()
    known = {"round": round_number, "slot": slot, "state": "intended", "token": token(round_number, slot, sha256)}
    unknown = dict.fromkeys(("submission_id", "filename", "confirmed_at"))
    return Entry(csv_sha256=sha256, data_sha256="", artifact="a", intended_at=OPENED.isoformat(), **known, **unknown)


def bring(delivery, content, *, force=False):
    entry = intent(content)
    delivery.ledger.intend(entry)
    delivery.deliver(delivery.client.current_round(), MINE, entry, content, force=force)
    return delivery.ledger.entry(FIRST_ROUND, SLOT)


@pytest.mark.parametrize("gone", [timedelta(hours=2), timedelta(minutes=58, seconds=30), timedelta(days=1)])
def test_a_close_during_the_upload_is_noticed(sandbox, delivery, content, gone):
    """No submission is created for a round that closes or is replaced by the next during the upload."""

    def pass_time(name):
        if name == "upload.put:after":
            sandbox.clock.advance(gone)

    with listening(pass_time), pytest.raises(RoundNotOpen):
        bring(delivery, content)

    assert sandbox.tournament.uploaded
    assert not sandbox.tournament.submissions


def test_a_late_upload_is_not_even_begun(sandbox, delivery, content):
    """In the last minute before the close, no file is uploaded."""
    round_ = delivery.client.current_round()
    sandbox.clock.advance(timedelta(minutes=58, seconds=1))
    delivery.client.current_round()
    with pytest.raises(
        RoundNotOpen, match=rf"^round {FIRST_ROUND} closes at 13:00:00 UTC: too late to upload, .* 60 s"
    ):
        delivery.deliver(round_, MINE, intent(content), content, force=False)

    assert not sandbox.tournament.uploaded


def test_confirmed_means_read_back(sandbox, delivery, content):
    """The ledger records the server's submission id after its bytes were compared."""
    entry = bring(delivery, content)
    (held,) = sandbox.tournament.submissions

    assert (entry.state, entry.submission_id, entry.filename) == ("confirmed", held.id, held.filename)
    assert held.content == content
    assert entry.confirmed_at.startswith("2026-11-24T12:01:")


def test_bytes_that_changed_on_the_way_are_replaced(sandbox, delivery, content):
    """A stored file with other bytes is not confirmed; the right file is sent again."""

    def corrupt(name):
        if name == "upload.put:after" and not sandbox.tournament.submissions:
            (stored,) = sandbox.tournament.uploaded
            sandbox.tournament.uploaded[stored] = predictions(sandbox.tournament.live_ids(FIRST_ROUND), shift=0.5)

    with listening(corrupt):
        bring(delivery, content)

    assert [one.content == content for one in sandbox.tournament.submissions] == [False, True]


def test_an_upload_that_is_never_listed_is_an_error(sandbox, delivery, content):
    """A submission that the server acknowledged but does not list is not confirmed."""

    def forget(name):
        if name == "upload.create:after":
            sandbox.tournament.submissions.clear()

    with listening(forget), pytest.raises(NumeraiUnavailable, match="does not list"):
        bring(delivery, content)

    assert delivery.ledger.entry(FIRST_ROUND, SLOT).state == "intended"


def test_own_submission_of_a_lost_ledger_is_adopted(sandbox, delivery, content):
    """An earlier submission of this bot for this round stays, although the new predictions differ."""
    name = f"{intent(content).token}-server.csv"
    held = sandbox.tournament.place(SLOT, filename=name, content=content)
    now = predictions(sandbox.tournament.live_ids(FIRST_ROUND), shift=0.5)
    entry = bring(delivery, now)

    assert (entry.state, entry.submission_id, entry.csv_sha256) == ("confirmed", held.id, intent(content).csv_sha256)
    assert entry.token == intent(content).token
    assert len(sandbox.tournament.submissions) == 1


def test_own_name_over_other_bytes_is_not_adopted(sandbox, delivery, content):
    """A submission with this bot's token but other bytes is replaced."""
    other = predictions(sandbox.tournament.live_ids(FIRST_ROUND), shift=0.5)
    sandbox.tournament.place(SLOT, filename=f"{intent(b'').token}-x.csv", content=other)
    bring(delivery, content)

    assert [one.content for one in sandbox.tournament.submissions] == [other, content]


def test_file_queued_from_the_round_before_is_replaced(sandbox, delivery, content):
    """A late file of the last round is replaced by this round's predictions."""
    old = predictions(sandbox.tournament.live_ids(FIRST_ROUND), shift=0.5)
    sandbox.tournament.place(SLOT, filename=f"{intent(old, FIRST_ROUND - 1).token}-x.csv", content=old)
    bring(delivery, content)

    assert [one.content for one in sandbox.tournament.submissions] == [old, content]


@pytest.mark.parametrize("name", ["by-hand.csv", f"r{FIRST_ROUND}-other-01234567.csv", f"xr{FIRST_ROUND}-{SLOT}-0.csv"])
def test_foreign_submission_is_named_and_left_alone(sandbox, delivery, content, name):
    """A submission that this bot did not make stays, unless the operator forces a replacement."""
    other = predictions(sandbox.tournament.live_ids(FIRST_ROUND), shift=0.5)
    sandbox.tournament.place(SLOT, filename=name, content=other)
    with pytest.raises(RefuseToSubmit, match=f"slot {SLOT} already holds {name} for round {FIRST_ROUND}.*--force"):
        bring(delivery, content)
    before = len(sandbox.tournament.submissions)
    bring(delivery, content, force=True)

    assert (before, [one.content for one in sandbox.tournament.submissions]) == (1, [other, content])


def test_force_does_not_adopt(sandbox, delivery, content):
    """A forced upload replaces an earlier submission of this bot."""
    old = predictions(sandbox.tournament.live_ids(FIRST_ROUND), shift=0.5)
    sandbox.tournament.place(SLOT, filename=f"{intent(old).token}-x.csv", content=old)
    entry = bring(delivery, content, force=True)

    assert entry.csv_sha256 == intent(content).csv_sha256
    assert len(sandbox.tournament.submissions) == 2


def test_force_sends_a_file_again_that_another_one_has_replaced(sandbox, delivery, content):
    """After a rollback the file of the champion before is uploaded once more, because Numerai counts the newest."""
    other = predictions(sandbox.tournament.live_ids(FIRST_ROUND), shift=0.5)
    bring(delivery, content)
    bring(delivery, other, force=True)
    entry = bring(delivery, content, force=True)
    again = bring(delivery, content, force=True)
    counted = [one for one in delivery.client.submissions(MINE.model_id) if one.selected]

    assert [one.content for one in sandbox.tournament.submissions] == [content, other, content]
    assert [one.id for one in counted] == [entry.submission_id] == [again.submission_id]


def test_a_file_that_was_sent_under_another_name_of_the_model_is_adopted(sandbox, delivery, content):
    """A model that is renamed in an open round keeps its confirmed submission."""
    sandbox.tournament.place(SLOT, filename=f"{intent(content, slot='an-older.name').token}-x.csv", content=content)
    entry = bring(delivery, content)

    assert entry.state == "confirmed"
    assert len(sandbox.tournament.submissions) == 1


def test_submissions_of_other_rounds_and_refused_ones_do_not_count(sandbox, delivery, content):
    """Only an accepted submission of this round counts as present on the server."""
    refused = sandbox.tournament.place(SLOT, filename=f"{intent(content).token}-x.csv", content=content)
    refused.accepted = False
    other = sandbox.tournament.place(SLOT, filename=f"{intent(content).token}-y.csv", content=content)
    other.round = FIRST_ROUND + 1
    entry = bring(delivery, content)

    assert entry.submission_id not in (refused.id, other.id)
    assert len(sandbox.tournament.submissions) == 3


def test_transient_failures_are_outlived(sandbox, delivery, content):
    """Each step may fail a few times; the round is confirmed with one submission."""
    for operation in ("submissions", "submission_upload_auth", "PUT", "rounds", "submission_download_auth"):
        sandbox.faults.add(Fault(operation=operation, kind="status", status=503))
    entry = bring(delivery, content)

    assert entry.state == "confirmed"
    assert len(sandbox.tournament.submissions) == 1


def test_round_that_gave_way_is_named(sandbox, delivery):
    """After the next round has opened, the attempt ends and the message names both rounds."""
    round_ = delivery.client.current_round()
    same = delivery.same_round(round_)
    sandbox.clock.advance(timedelta(days=1))
    with pytest.raises(RoundNotOpen, match=f"round {FIRST_ROUND} gave way to round {FIRST_ROUND + 1}"):
        delivery.same_round(round_)

    assert abs(same - OPENED - timedelta(minutes=1)) < timedelta(seconds=30)


def test_ids_that_the_server_replaced_are_noticed(sandbox, delivery, content):
    """A submission whose ids Numerai mapped from the last round is reported and not confirmed."""
    sandbox.clock.advance(timedelta(days=1))
    entry = intent(content, FIRST_ROUND + 1)
    delivery.ledger.intend(entry)
    with pytest.raises(DatasetIncomplete, match=f"round {FIRST_ROUND + 1} on other ids than were sent"):
        delivery.deliver(delivery.client.current_round(), MINE, entry, content, force=False)

    assert len(sandbox.tournament.submissions) == 1
    assert delivery.ledger.entry(FIRST_ROUND + 1, SLOT) == entry


@pytest.mark.parametrize(
    "other", [{"round": FIRST_ROUND - 1}, {"accepted": False}, {"filename": "by-hand.csv"}], ids=str
)
def test_other_ids_in_other_submissions_say_nothing(sandbox, delivery, content, other):
    """The read-back ignores submissions of other rounds, refused ones and those of others."""
    foreign = predictions([f"n{number}" for number in range(5)])
    held = sandbox.tournament.place(SLOT, filename=f"{intent(content).token}-x.csv", content=foreign)
    for name, value in other.items():
        setattr(held, name, value)

    def forget(name):
        if name == "upload.create:after":
            sandbox.tournament.submissions[:] = [held]

    with listening(forget), pytest.raises(BotError, match=r"does not list|validation refuses it"):
        bring(delivery, content, force=True)


@pytest.mark.parametrize(("gone", "timeout"), [(0, 3480), (55, 180), (60, 1), (600, 1)])
def test_retries_end_with_the_time_for_uploads(sandbox, delivery, content, monkeypatch, gone, timeout):
    """Retries wait briefly and stop at the guard; the first attempt is always made."""
    bounds = []
    retry_context = stamina.retry_context

    def noting(**asked):
        bounds.append(asked)
        return retry_context(**asked)

    round_ = delivery.client.current_round()
    sandbox.clock.advance(timedelta(minutes=gone))
    delivery.client.submissions(MINE.model_id)
    monkeypatch.setattr("bot.submission._delivery.retry_context", noting)
    delivery.ledger.intend(intent(content))
    with suppress(RoundNotOpen):
        delivery.deliver(round_, MINE, intent(content), content, force=False)

    near = pytest.approx(timeout, abs=50 if timeout > 1 else 0)
    assert bounds[0] == {"on": NumeraiUnavailable, "attempts": 6, "timeout": near, "wait_max": 20}


def after_create(change):
    """Call *change* with the newest submission after each create."""

    def listen(name):
        if name == "upload.create:after":
            change()

    return listening(listen)


def refuse(sandbox):
    for one in sandbox.tournament.submissions:
        one.accepted = False


def spoil(sandbox):
    for one in sandbox.tournament.submissions:
        one.content = predictions(sandbox.tournament.live_ids(FIRST_ROUND), shift=0.5)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [(refuse, RefuseToSubmit, "validation refuses it"), (spoil, RefuseToSubmit, "other predictions than were sent")],
)
def test_one_content_is_created_three_times_at_most(sandbox, delivery, content, change, error, words):
    """A submission that is refused, or comes back changed, is repeated twice in all runs; then the round is refused."""
    for _ in range(3):
        with after_create(lambda: change(sandbox)), pytest.raises(error, match=words):
            bring(delivery, content)

    assert len(sandbox.tournament.submissions) == 3


def test_submissions_that_are_never_listed_are_counted_in_the_ledger(sandbox, delivery, content):
    """Three acknowledged submissions are made over all runs, and the bot keeps looking for them."""
    created = []
    for _ in range(3):
        with (
            after_create(lambda: created.append(sandbox.tournament.submissions.pop())),
            pytest.raises(NumeraiUnavailable, match="does not list"),
        ):
            bring(delivery, content)
    sandbox.tournament.submissions.append(created[1])

    assert len(created) == 3
    assert bring(delivery, content).submission_id == created[1].id


def test_another_content_has_its_own_count(sandbox, delivery, content):
    """After a content that is refused, new predictions are sent."""
    with after_create(lambda: refuse(sandbox)), pytest.raises(RefuseToSubmit):
        bring(delivery, content)

    assert bring(delivery, predictions(sandbox.tournament.live_ids(FIRST_ROUND), shift=0.25)).state == "confirmed"


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.rstrip(b"\n"),
        lambda content: content.replace(b"id,prediction", b'"id","prediction"'),
        lambda content: b"".join(line + (b"000" if b"." in line else b"") + b"\n" for line in content.splitlines()),
    ],
    ids=["crlf", "bom", "no last line end", "quotes", "digits"],
)
def test_a_file_that_the_server_rewrote_is_confirmed_with_a_warning(sandbox, delivery, content, rewrite):
    """Line ends and the format of numbers may differ where every id and value is equal."""

    def change():
        (held,) = sandbox.tournament.submissions
        held.content = rewrite(held.content)

    with capture_logs() as logs, after_create(change):
        entry = bring(delivery, content)

    assert entry.state == "confirmed"
    assert "submission.rewritten" in [line["event"] for line in logs]
    assert len(sandbox.tournament.submissions) == 1


def test_own_submission_of_a_lost_ledger_is_adopted_though_its_line_ends_differ(sandbox, delivery, content):
    """Without the sent file, the digest in the name decides."""
    crlf = content.replace(b"\n", b"\r\n")
    sandbox.tournament.place(SLOT, filename=f"{intent(content).token}-server.csv", content=crlf)
    now = predictions(sandbox.tournament.live_ids(FIRST_ROUND), shift=0.5)

    assert bring(delivery, now).csv_sha256 == intent(content).csv_sha256
    assert len(sandbox.tournament.submissions) == 1


def test_a_submission_without_a_name_is_known_by_its_id(sandbox, delivery, content):
    """The id that the server gave at the create stands in for a name that it does not return."""

    def unname():
        sandbox.tournament.submissions[-1].filename = ""

    with after_create(unname):
        entry = bring(delivery, content)

    assert entry.state == "confirmed"
    assert len(sandbox.tournament.submissions) == 1


def alerts(delivery):
    outbox = Outbox(delivery.ledger.path)
    try:
        return outbox.open_alerts()
    finally:
        outbox.close()


def test_a_confirmed_submission_that_does_not_count_is_an_alert(sandbox, delivery, content):
    """The alert names the submission that counts, and ends when the bot's own counts."""

    def prefer_another():
        sandbox.tournament.submissions[-1].selected = False
        sandbox.tournament.place(SLOT, filename="by-hand.csv", content=content)
        sandbox.tournament.submissions[-2].selected = False

    with after_create(prefer_another):
        bring(delivery, content)
    warnings = warn_unselected(delivery.client, delivery.ledger, [MINE])
    during = alerts(delivery)
    mine, other = sandbox.tournament.submissions
    mine.selected, other.selected = True, False

    assert warnings == (
        f"round {FIRST_ROUND}, slot {SLOT}: the confirmed submission is not selected; by-hand.csv counts",
    )
    assert tuple(during.values()) == warnings
    assert not warn_unselected(delivery.client, delivery.ledger, [MINE])
    assert not alerts(delivery)


def test_a_server_that_has_not_selected_yet_is_no_alert(sandbox, delivery, content):
    """While none of the submissions is selected, nothing is known to be wrong."""
    bring(delivery, content)
    sandbox.tournament.submissions[-1].selected = False

    assert not warn_unselected(delivery.client, delivery.ledger, [MINE])
    assert not alerts(delivery)


def test_a_server_that_does_not_answer_after_the_round_costs_nothing(sandbox, delivery, content):
    """A failing look at the selection is a warning in the log."""
    bring(delivery, content)
    sandbox.faults.add(Fault(operation="submissions", kind="graphql_error", times=99))
    with capture_logs() as logs:
        assert not warn_unselected(delivery.client, delivery.ledger, [MINE])

    assert [line["event"] for line in logs if line["log_level"] == "warning"][-1] == "selected.unknown"


def test_upload_and_proof_are_logged(sandbox, delivery, content):
    """The log records what was sent and the submission that resulted."""
    with capture_logs() as logs:
        entry = bring(delivery, content)

    confirmed = {"submission": entry.submission_id, "file": entry.filename}
    assert [line for line in logs if line["event"].startswith("submission.")] == [
        {"event": "submission.uploaded", "log_level": "info", "sha256": entry.csv_sha256[:12]},
        {"event": "submission.confirmed", "log_level": "info", **confirmed},
    ]


def test_nothing_held_is_nothing_confirmed(delivery, content):
    """Before an upload nothing can be confirmed, forced or not."""
    assert [delivery.reconcile(intent(content), MINE, force=force) for force in (False, True)] == [False, False]


def test_a_token_names_round_slot_and_content():
    """A token contains the round, the slot and eight digits of the content's digest."""
    assert token(1405, "mixer", "0123456789abcdef") == "r1405-mixer-01234567"
