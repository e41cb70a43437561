"""Packs: what was packed comes out again, and everything else is refused in one line."""

import io
import os
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import ArtifactInvalid, BadConfig
from bot.packing import pack_file
from bot.packing.keys import public_bytes
from bot.packing.pack_file import HEAD, pack, unpack
from bot.packing.public_keys import to_text
from bot.system.files import sha256_of
from tests.packing.packs import FOREIGN, KEY, TRUSTED, archive, artifact, entry, packed, signed


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "private").mkdir()
    return tmp_path / "private"


@pytest.fixture
def sound(tmp_path):
    return packed(tmp_path)


def refused(path, folder, words, error=ArtifactInvalid):
    """Check that a pack is refused in one line."""
    with pytest.raises(error, match=words) as caught:
        unpack(path, TRUSTED, folder)

    assert "\n" not in str(caught.value)


def test_the_artifact_comes_out_as_it_was(sound, folder, tmp_path):
    """Every file, judged members and evaluation included, has its sha256, and the key that signed is named."""
    (there,) = (tmp_path / "artifacts").glob("2*")
    unpacked = unpack(sound, TRUSTED, folder)

    assert {one.name: sha256_of(one) for one in unpacked.artifact.folder.iterdir()} == {
        one.name: sha256_of(one) for one in there.iterdir()
    }
    assert unpacked.key in TRUSTED
    assert [one.name for one in folder.iterdir()] == [unpacked.artifact.id]


def test_equal_artifacts_give_equal_bodies(tmp_path, sound):
    """A pack holds no times, users or modes of the machine."""
    (there,) = (tmp_path / "artifacts").glob("2*")
    (there / "gbm.txt").chmod(0o600)
    os.utime(there / "gbm.txt", (1, 1))
    pack(artifact_of(there), tmp_path / "again.pack", KEY)

    assert (tmp_path / "again.pack").read_bytes() == sound.read_bytes()


def artifact_of(folder):
    return pack_file.ArtifactStore(folder.parent).open(folder.name)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_is_found(tmp_path_factory, data):
    """A pack with one flipped bit anywhere is refused before anything is written as an artifact."""
    root = tmp_path_factory.mktemp("flipped")
    (root / "private").mkdir()
    path = packed(root)
    content = bytearray(path.read_bytes())
    place = data.draw(st.one_of(st.integers(0, HEAD - 1), st.integers(0, len(content) - 1)))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)

    refused(path, root / "private", "pack|format|signed|signature|cut off|goes on|changed")


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0, 1), longer=st.booleans())
def test_any_other_length_is_found(tmp_path_factory, share, longer):
    """A pack that is cut off anywhere, or that goes on after its end, is refused."""
    root = tmp_path_factory.mktemp("cut")
    (root / "private").mkdir()
    path = packed(root)
    content = path.read_bytes()
    path.write_bytes(
        content + b"\0" * (1 + int(share * 2000)) if longer else content[: int(share * (len(content) - 1))]
    )

    refused(path, root / "private", "goes on after its end" if longer else "no pack|cut off")


def test_a_foreign_signature_names_its_key(tmp_path, folder):
    """A pack of another key is refused, and the message holds that key."""
    refused(packed(tmp_path, key=FOREIGN), folder, f"signed by {to_text(public_bytes(FOREIGN))}".replace("+", r"\+"))


def test_a_trusted_name_with_another_signature_is_refused(sound, folder):
    """A head that names a trusted key is signed by that key or refused."""
    content = bytearray(sound.read_bytes())
    foreign = FOREIGN.sign(bytes(content[: HEAD - 64]))
    content[HEAD - 64 : HEAD] = foreign
    sound.write_bytes(content)

    refused(sound, folder, "wrong signature")


@pytest.mark.parametrize(("number", "words"), [(0, "pack it anew there"), (2, "update this bot")])
def test_another_format_says_what_to_do(sound, folder, number, words):
    """An older or newer format is refused with the number of both."""
    sound.write_bytes(signed(sound.read_bytes()[HEAD:], number=number))

    refused(sound, folder, f"has format {number}, and this bot reads format 1; {words}")


def test_without_a_trusted_key_nothing_is_read(sound, folder):
    """Without BOT_TRUSTED_KEYS the setting is named; exit code 78."""
    with pytest.raises(BadConfig, match="BOT_TRUSTED_KEYS is not set"):
        unpack(sound, set(), folder)


def test_a_huge_file_is_refused_unread(tmp_path, folder):
    """A file over the limit is refused by its size; it is sparse here, and takes no room."""
    with (tmp_path / "huge.pack").open("wb") as file:
        file.truncate(pack_file.LARGEST + 1)

    refused(tmp_path / "huge.pack", folder, "huge.pack is no pack: it is not a file of 156 bytes to 4 GiB")


def test_a_pipe_or_folder_is_refused_at_once(tmp_path, folder):
    """Neither a pipe nor a folder nor an absent file is waited for."""
    os.mkfifo(tmp_path / "pipe")

    refused(tmp_path / "pipe", folder, "pipe is no pack")
    refused(tmp_path, folder, "is no pack")
    refused(tmp_path / "absent", folder, "there is no file", BadConfig)


@pytest.mark.parametrize(
    "hostile",
    [
        entry("../outside"),
        entry("/absolute"),
        entry("folder/file"),
        entry(".hidden"),
        entry("gbm.txt"),
        entry("link", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        entry("link", kind=tarfile.LNKTYPE, link="gbm.txt"),
        entry("device", kind=tarfile.CHRTYPE),
        entry("folder", kind=tarfile.DIRTYPE),
        entry("sparse", kind=tarfile.GNUTYPE_SPARSE),
    ],
    ids=lambda one: f"{one[0].name} {one[0].type!r}",
)
def test_only_plain_files_of_an_artifact_are_written(sound, folder, tmp_path, hostile):
    """Even with a right signature, a name that leads elsewhere, a link, a device or a name twice is refused."""
    sound.write_bytes(signed(archive(sound, hostile)))

    refused(sound, folder, "is no plain file of an artifact|holds no artifact")
    assert {one.name for one in tmp_path.iterdir()} == {"artifacts", "private", sound.name}


def test_more_files_than_the_artifact_lists_are_refused(sound, folder):
    """A file that the manifest does not list is named."""
    sound.write_bytes(signed(archive(sound, entry("further.bin"))))

    refused(sound, folder, "holds 'further.bin', which its artifact does not list")


def test_too_many_files_are_refused(sound, folder, monkeypatch):
    """The number of files is limited."""
    monkeypatch.setattr(pack_file, "MOST_FILES", 3)

    refused(sound, folder, "holds more than 3 files")


@pytest.mark.parametrize("body", [b"", b"no archive", bytes(10240)])
def test_a_signed_body_without_an_artifact_is_refused(sound, folder, body):
    """A body that is no archive, or an empty one, is refused."""
    sound.write_bytes(signed(body))

    refused(sound, folder, "holds no artifact")


def test_arrays_that_would_fill_the_memory_are_refused(tmp_path, folder):
    """A small npz file that unpacks into more than a GiB is refused before it is opened."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bomb,
        bomb.open("values.npy", "w") as file,
    ):
        for _ in range(40):
            file.write(bytes(1 << 25))

    refused(
        packed(tmp_path, files={"golden.npz": buffer.getvalue()}),
        folder,
        "would take 1,280 MiB",
    )


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"trained_elsewhere": ["mine"]}, "was adopted, so no hold-out can judge it"),
        (
            {
                "members": [
                    {"name": "mine", "kind": "command", "weight": 1.0, "target": None, "label": "target",
                     "feature_set": None, "head_of": None, "residual": 1.0, "options": {"command": ["sh"]}}
                ],
                "weights": {"mine": 1.0},
            },
            "member mine is a program, which no pack holds",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_elsewhere_is_not_packed(tmp_path, more, words):
    """An adopted artifact, and one with a program, is refused where it would be packed; exit code 78."""
    with pytest.raises(BadConfig, match=words):
        packed(tmp_path, **more)


def test_an_artifact_of_another_format_is_not_packed(tmp_path, monkeypatch):
    """Only the present format of artifacts travels."""
    one = artifact(tmp_path / "artifacts")
    monkeypatch.setattr(pack_file, "ARTIFACT_FORMAT", 3)

    with pytest.raises(BadConfig, match="has format 2, and packs hold format 3"):
        pack(one, tmp_path / "one.pack", KEY)
