"""Every side effect of a submission is enclosed by a kill point."""

import pytest

from bot.system.kill_points import kill_point, listening
from tests.system.effects import reached_from, scan, unenclosed

PATH = [*reached_from("bot.submission.submit"), "bot.cli.everyday.submit"]
BESIDE = {
    ("bot.serving.artifacts", "write"), ("bot.serving.artifacts", "_prune"),
    ("bot.data.download", "sync_files"), ("bot.data.download", "_refetch"), ("bot.data.transfer.tail_download", "fetch_tail"),
    ("bot.members.kinds.lightgbm", "fit"), ("bot.record.running", "keep_progress"),
    *(("bot.members.network.stacking", one) for one in ("stack", "_predicted", "_predict", "_remove_unused")),
}  # fmt: skip
"""Functions of these modules that a submission never calls; `bot sync` and `bot retrain` call them."""


def test_no_side_effect_of_a_submission_is_without_a_kill_point():
    """Each write, rename, removal, commit and upload of a submission is between two kill points."""
    found = [one for one in unenclosed(PATH) if (one.module, one.function) not in BESIDE]

    assert not found


def test_each_exception_is_needed():
    """Each excepted function still has a side effect."""
    assert {(one.module, one.function) for one in unenclosed(PATH)} == BESIDE


def test_there_are_enough_kill_points():
    """The path of a submission has at least 24 kill points, two to each name."""
    effects, names = scan(PATH)

    assert 2 * len(names) >= 24
    assert len(effects) > len(names)


@pytest.mark.parametrize(
    "call",
    [
        "path.write_text('x')", "path.open('wb')", "staging.replace(path)", "db.execute('COMMIT')",
        "self._transport.upload(url, content)", "self._api.raw_query(_CREATE, {})", "os.fsync(3)",
    ],
)  # fmt: skip
def test_a_side_effect_without_a_kill_point_is_found(tmp_path, monkeypatch, call):
    """A write, rename, commit or upload is reported unless a kill point encloses it."""
    monkeypatch.setattr("tests.system.effects.BOT", tmp_path / "bot")
    (tmp_path / "bot").mkdir()
    source = f"_CREATE = 'mutation {{ create }}'\ndef act():\n    with %s:\n        {call}\n"
    (tmp_path / "bot" / "bare.py").write_text(source % "open('r')")
    (tmp_path / "bot" / "enclosed.py").write_text(source % "kill_point('x')")

    assert [one.call for one in unenclosed(["bot.bare"])] == [call]
    assert not list(unenclosed(["bot.enclosed"]))


def test_an_effect_is_enclosed_where_every_caller_encloses_it(tmp_path, monkeypatch):
    """A helper's side effect is reported if one of its callers does not enclose it."""
    monkeypatch.setattr("tests.system.effects.BOT", tmp_path / "bot")
    (tmp_path / "bot").mkdir()
    helper = "def helper():\n    path.unlink()\ndef one():\n    with kill_point('x'):\n        helper()\n"
    (tmp_path / "bot" / "enclosed.py").write_text(helper)
    (tmp_path / "bot" / "bare.py").write_text(helper + "def other():\n    helper()\n")

    assert not list(unenclosed(["bot.enclosed"]))
    assert len(list(unenclosed(["bot.bare"]))) == 1


def test_kill_points_are_reached_on_both_sides_of_success():
    """A listener is called before the effect and after it; an effect that fails has no after."""
    passed = []

    def fail():
        with kill_point("second"):
            raise OSError(28, "full")

    with listening(passed.append):
        with kill_point("first"):
            passed.append("effect")
        with pytest.raises(OSError, match="full"):
            fail()
    with kill_point("without a listener"):
        pass

    assert passed == ["first:before", "effect", "first:after", "second:before"]
