"""Artifacts: written once, verified before use, promoted in one step."""

import errno
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import ArtifactInvalid, BadConfig, NoChampion
from bot.serving import artifacts
from bot.serving.artifacts import KEPT, ArtifactStore, digest_of
from tests.serving.manifests import manifest

pytestmark = pytest.mark.slow

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def write(store, number=0, recipe="standard"):
    return store.write(
        files={"gbm.txt": b"tree", "tsmixer.onnx": bytes(range(64))},
        manifest=manifest(recipe, note="n"),
        at=NOW + timedelta(minutes=number),
    )


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


def test_written_artifact_opens(store):
    """A written artifact passes verification and keeps its manifest."""
    artifact = write(store)

    assert store.open(artifact.id).manifest["note"] == "n"


def test_files_may_be_taken_over_from_disk(store, tmp_path):
    """A large file is copied without being read into memory."""
    (tmp_path / "model").write_bytes(b"model")
    artifact = store.write(files={"gbm.txt": tmp_path / "model"}, manifest=manifest("demo"), at=NOW)

    assert artifact.path("gbm.txt").read_bytes() == b"model"


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_is_found(tmp_path_factory, data):
    """An artifact with one flipped bit is refused, unless its content is unchanged."""
    store = ArtifactStore(tmp_path_factory.mktemp("store"))
    artifact = write(store)
    before = artifact.manifest
    path = artifact.path(data.draw(st.sampled_from(["gbm.txt", "tsmixer.onnx", "manifest.json"])))
    content = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(content))
    try:
        opened = store.open(artifact.id)
    except ArtifactInvalid:
        return

    assert path.name == "manifest.json"
    assert opened.manifest == before


def test_missing_file_is_named(store):
    """The error for an artifact with a missing file names the file."""
    artifact = write(store)
    artifact.path("gbm.txt").unlink()

    with pytest.raises(ArtifactInvalid, match=r"gbm\.txt is missing"):
        store.open(artifact.id)


def test_nothing_is_champion_at_first(store):
    """Before the first promotion, the error suggests `bot retrain`."""
    with pytest.raises(NoChampion, match="bot retrain"):
        store.champions("standard")


def test_promotion_keeps_the_champions_before(store):
    """Champions are listed from the newest to the oldest."""
    first, second = write(store, 0), write(store, 1)
    store.promote("standard", first.id)
    store.promote("standard", second.id)

    assert store.champions("standard") == (second.id, first.id)


def test_rollback_returns_to_the_champion_before(store):
    """One rollback restores the previous champion."""
    first, second = write(store, 0), write(store, 1)
    store.promote("standard", first.id)
    store.promote("standard", second.id)

    assert store.rollback("standard") == first.id
    assert store.champions("standard") == (first.id,)


def test_rollback_without_history_is_refused(store):
    """The only champion cannot be rolled back."""
    store.promote("standard", write(store).id)

    with pytest.raises(NoChampion, match="before the current one"):
        store.rollback("standard")


def test_every_promotion_shows_in_the_time_of_the_newest(store):
    """The time is 0 before the first promotion, and every later one changes it."""
    first, second = write(store, 0), write(store, 1)
    never = store.promoted_ns()
    store.promote("standard", first.id)
    once = store.promoted_ns()
    os.utime(store.root / "champions", ns=(1, 1))  # a kernel's clock may stand still for a few milliseconds
    store.promote("standard", second.id)

    assert never == 0
    assert once > 1
    assert store.promoted_ns() > 1


def test_damaged_artifact_is_not_promoted(store):
    """Promotion verifies the artifact first."""
    artifact = write(store)
    artifact.path("gbm.txt").write_bytes(b"trEe")

    with pytest.raises(ArtifactInvalid, match=r"gbm\.txt differs"):
        store.promote("standard", artifact.id)


def test_artifact_of_another_recipe_is_not_promoted(store):
    """An artifact can be promoted only for the recipe that it was trained with."""
    with pytest.raises(BadConfig, match="recipe 'demo'"):
        store.promote("standard", write(store, recipe="demo").id)


def test_only_the_last_champions_stay_on_disk(store):
    """Champions that no rollback can reach are deleted."""
    written = []
    for number in range(KEPT + 3):
        written.append(write(store, number))
        store.promote("standard", written[-1].id)
    left = sorted(folder.name for folder in store.root.iterdir() if folder.name != "champions")

    assert left == [artifact.id for artifact in written[-KEPT:]]


def test_what_a_person_has_put_there_stays(store):
    """A file or folder that is no artifact, whatever its name, keeps no promotion from cleaning up."""
    (store.root / "2021-mine").mkdir(parents=True)
    (store.root / "2020-old-notes.txt").write_text("mine")
    for number in range(KEPT + 3):
        store.promote("standard", write(store, number).id)

    assert (store.root / "2020-old-notes.txt").read_text() == "mine"
    assert (store.root / "2021-mine").is_dir()


def test_damaged_pointer_is_repaired_by_promotion(store):
    """The error names a broken champion pointer, and a promotion repairs it."""
    artifact = write(store)
    store.promote("standard", artifact.id)
    pointer = store.root / "champions" / "standard.json"
    pointer.write_text("{")
    with pytest.raises(ArtifactInvalid, match="bot promote"):
        store.champions("standard")
    store.promote("standard", artifact.id)

    assert json.loads(pointer.read_text())["champion"] == artifact.id


def test_promotion_after_a_rollback_goes_forward_again(store):
    """After a rollback the newer champion can be promoted again, and the history records who promoted it."""
    first, second = write(store, 0), write(store, 1)
    store.promote("standard", first.id)
    store.promote("standard", second.id)
    store.rollback("standard")
    store.promote("standard", second.id, by="operator")

    assert store.champions("standard") == (second.id, first.id)
    assert json.loads((store.root / "champions" / "standard.json").read_text())["by"] == "operator"


def test_rollback_of_large_artifacts_takes_seconds(store, tmp_path):
    """A rollback to an artifact of 200 MB takes less than five seconds."""
    (tmp_path / "model").write_bytes(bytes(200_000_000))
    for number in range(2):
        large = store.write(
            files={"gbm.txt": tmp_path / "model"},
            manifest=manifest(),
            at=NOW + timedelta(minutes=number),
        )
        store.promote("standard", large.id)
    began = time.process_time()
    store.rollback("standard")

    assert time.process_time() - began < 5


def test_only_the_newest_challengers_stay_on_disk(store):
    """Challengers that lost against a long-standing champion are deleted."""
    champion = write(store, 0)
    store.promote("standard", champion.id)
    kept_back = [write(store, number) for number in range(1, KEPT + 4)]
    store.prune()

    assert store.identities() == (champion.id, *(artifact.id for artifact in kept_back[-KEPT:]))


def test_what_killed_processes_left_is_removed_after_a_day(store):
    """A folder that nobody finished goes; one that is being written, and what a person has put there, stay."""
    store.promote("standard", write(store).id)
    left, fresh, own = (store.root / name for name in (".2026-01-01T000000Z-aaaa", ".2026-01-01T000000Z-bbbb", ".mine"))
    for folder in (left, fresh, own):
        folder.mkdir()
        (folder / "gbm.txt").write_text("tree")
    for folder in (left, own):
        os.utime(folder, times=(0, 0))
    store.prune()

    assert (left.exists(), fresh.exists(), own.exists()) == (False, True, True)


def test_a_full_disk_leaves_no_part_of_an_artifact(store, monkeypatch):
    """What was copied before the disk was full is removed."""

    def full(_path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artifacts, "sync", full)
    with pytest.raises(OSError, match="No space left"):
        write(store)

    assert list(store.root.iterdir()) == []


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=30)], ids=str)
def test_a_clock_that_was_ahead_makes_no_later_artifact_look_old(store, ahead):
    """An artifact of now is newer than one whose id lies in the future, so that it is not removed before it is judged."""
    champion = store.write(files={"gbm.txt": b"tree"}, manifest=manifest("standard", note="n"), at=NOW + ahead)
    store.promote("standard", champion.id)
    challenger = write(store)
    store.prune()

    assert store.identities() == (champion.id, challenger.id)
    assert challenger.manifest["created_at"] == NOW.isoformat()


def test_nothing_is_removed_while_a_pointer_is_damaged(store):
    """While the champion pointer is damaged, no artifact is deleted."""
    written = [write(store, number) for number in range(KEPT + 3)]
    store.promote("standard", written[-1].id)
    left = store.identities()
    (store.root / "champions" / "demo.json").write_text("{")
    for number in range(KEPT + 3, 2 * KEPT + 3):
        write(store, number)
    store.prune()

    assert len(store.identities()) == len(left) + KEPT


ENDLESS = """
import sys
from pathlib import Path
from bot.serving.artifacts import ArtifactStore
store = ArtifactStore(Path(sys.argv[1]))
while True:
    for identity in sys.argv[2:]:
        store.promote("standard", identity)
        print(identity, flush=True)
"""


@pytest.mark.parametrize("promotions", [1, 2, 5, 9])
def test_killed_promotion_leaves_the_old_champion_or_the_new(store, promotions):
    """After SIGKILL during promotions, the pointer names a complete champion and a complete previous one."""
    both = {write(store, 0).id, write(store, 1).id}
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(store.root), *sorted(both)], stdout=subprocess.PIPE, text=True
    ) as process:
        for _ in range(promotions):
            process.stdout.readline()
        process.kill()
    champion, *previous = store.champions("standard")

    assert {champion, *previous} <= both
    assert store.open(champion).id == champion


def test_a_first_artifact_that_was_kept_back_is_named(store):
    """Without a champion the newest refused artifact is named, with its reason and the way to promote it."""
    decided = [
        {"promote": False, "reason": "older"},
        {"promote": False, "reason": "skill: it may be chance"},
        {"promote": True},
    ]
    _, refused, _ = (
        store.write(
            files={"gbm.txt": b"tree"}, manifest=manifest("standard", decision=one), at=NOW + timedelta(minutes=number)
        )
        for number, one in enumerate(decided)
    )
    with pytest.raises(NoChampion) as error:
        store.champions("standard")

    assert f"{refused.id} was kept back: skill: it may be chance; `bot promote {refused.id}`" in str(error.value)
    store.promote("standard", refused.id)
    assert store.kept_back() == {}
    with pytest.raises(NoChampion, match="run `bot retrain` first"):
        store.champions("other")


@pytest.mark.parametrize("identity", ["../../x", "/etc", "", ".", "2026/../../x", "2026\0", "2" * 300, "x\n"])
def test_what_is_no_id_leads_nowhere(store, identity):
    """An id from the command line or a pointer never leaves the store."""
    with pytest.raises(ArtifactInvalid, match="not the id of an artifact"):
        store.open(identity)

    assert store.data_version(identity) is None
    assert not store.trained_on(identity, store.root)


@pytest.mark.parametrize("recipe", ["../../x", ".x", "a\0", "r" * 300])
def test_a_recipe_name_that_is_no_file_name_is_refused(store, recipe):
    """No pointer is read or written outside of the store."""
    with pytest.raises(BadConfig, match="cannot be the name of a file"):
        store.champions(recipe)


def rewrite(artifact, **changed):
    """Change keys of a manifest as another bot would have written them, with its digest."""
    content = {**artifact.manifest, **changed}
    content["digest"] = digest_of(content)
    (artifact.folder / "manifest.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "files", [[], {"gbm.txt": None}, {"gbm.txt": {}}, {"../../x": {"sha256": ""}}, {"gbm.txt": ["sha256"]}, 3], ids=str
)
def test_a_manifest_that_lists_its_files_otherwise_is_one_clear_error(store, files):
    """Only this artifact is refused, by its id."""
    artifact = write(store)
    rewrite(artifact, files=files)

    with pytest.raises(ArtifactInvalid, match=artifact.id):
        store.open(artifact.id)


def test_a_data_version_that_is_no_folder_name_is_unknown(store):
    """A manifest's version never leads out of the round's folder."""
    artifact = write(store)
    rewrite(artifact, data_version="../../x")

    assert store.data_version(artifact.id) is None


@pytest.mark.parametrize("pointer", [{"champion": 1, "previous": []}, {"champion": "2", "previous": [None]}, [], "x"])
def test_a_pointer_of_another_form_is_damaged(store, pointer):
    """Ids are text."""
    (store.root / "champions").mkdir(parents=True)
    (store.root / "champions" / "standard.json").write_text(json.dumps(pointer))

    with pytest.raises(ArtifactInvalid, match="is damaged"):
        store.champions("standard")


HAMMER = """
import sys
from pathlib import Path
from bot.errors import ArtifactInvalid, NoChampion
from bot.serving.artifacts import ArtifactStore
store, ids = ArtifactStore(Path(sys.argv[1])), sys.argv[3:]
for turn in range(40):
    try:
        if sys.argv[2] == "roll back" and turn % 3 == 2:
            store.rollback("standard")
        else:
            store.promote("standard", ids[turn % len(ids)])
    except (NoChampion, ArtifactInvalid) as error:  # a rollback lets go of a champion, which a promotion may then remove
        assert sys.argv[2] == "roll back", error
    if sys.argv[2] == "promote":
        for identity in ids:
            store.open(identity)
"""


@pytest.mark.parametrize("mode", ["promote", "roll back"])
def test_pointers_stay_whole_under_several_processes(store, mode):
    """Four processes promote and roll back at once: every champion that the pointer names is complete on disk."""
    ids = [write(store, number).id for number in range(KEPT - 1)]
    for identity in ids:
        store.promote("standard", identity)
    processes = [
        subprocess.Popen([sys.executable, "-c", HAMMER, str(store.root), mode, *ids], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    errors = [process.communicate()[1] for process in processes]

    assert errors == [""] * 4
    assert [store.open(identity).id for identity in store.champions("standard")]
    assert not list((store.root / "champions").glob(".*.tmp"))
