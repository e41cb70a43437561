"""Feature sets are read from ``features.json`` as the data version lists them, or refused in one line."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import DatasetIncomplete, SchemaMismatch
from bot.features.feature_sets import FeatureMetadata, why_unknown
from tests.harness.shapes import refusal

FEATURES = [f"feature_{letter}" for letter in "abcdef"]
SETS = {
    "small": FEATURES[:2],
    "medium": FEATURES[:4],
    "all": FEATURES,
    "v2_equivalent_features": FEATURES[1:3],
    "rain": FEATURES[3:],
    "wisdom": FEATURES[:3],
}
anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.sampled_from(FEATURES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def written(folder, sets, targets=("target", "target_ender_60")):
    (folder / "features.json").write_text(json.dumps({"feature_sets": sets, "targets": list(targets)}))
    return folder / "features.json"


def test_groups_are_the_sets_that_are_no_sizes(tmp_path):
    """Known groups come in their old order; sizes and derived sets are no groups."""
    found = FeatureMetadata.read(written(tmp_path, SETS)).groups(FEATURES)

    assert list(found.items()) == [("wisdom", (0, 1, 2)), ("rain", (3, 4, 5))]


def test_renamed_and_new_groups_are_groups(tmp_path):
    """Groups of other names come after those of v5.3, in the order of the file."""
    sets = SETS | {"hope": FEATURES[2:4], "love": FEATURES[5:]}
    del sets["rain"]
    found = FeatureMetadata.read(written(tmp_path, sets)).groups(FEATURES[2:])

    assert list(found.items()) == [("wisdom", (0,)), ("hope", (0, 1)), ("love", (3,))]


def test_a_version_without_groups_has_one_of_all_features(tmp_path):
    """A version that lists sizes alone gives one group: row aggregates and the history need one."""
    found = FeatureMetadata.read(written(tmp_path, {"small": FEATURES, "fncv3_features": FEATURES[:2]}))

    assert found.groups(FEATURES) == {"all": tuple(range(6))}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"feature_sets": {"small": ["feature_a", "feature_b", "feature_a"]}, "targets": []}', "feature_a"),
        ('{"feature_sets": {"small": ["feature_a"], "small": ["feature_b"]}, "targets": []}', "small"),
        ('{"feature_sets": {}, "targets": ["target", "target"]}', "target"),
        ('{"feature_sets": {}, "targets": [], "feature_sets": {}}', "feature_sets"),
    ],
)
def test_a_name_that_is_listed_twice_is_refused(tmp_path, text, name):
    """A repeated feature, set, target or key is refused with its name."""
    (tmp_path / "features.json").write_text(text)
    with pytest.raises(DatasetIncomplete, match=f"lists {name} twice"):
        FeatureMetadata.read(tmp_path / "features.json")


@settings(deadline=None, max_examples=150)
@given(content=anything, key=st.sampled_from(["feature_sets", "targets", "small", "all"]))
def test_any_other_content_is_refused_in_one_line(content, key, tmp_path_factory):
    """Content of another kind at any key is a refusal, never another error."""
    folder = tmp_path_factory.mktemp("sets")
    whole = {"feature_sets": dict(SETS), "targets": ["target"]}
    (whole if key in whole else whole["feature_sets"])[key] = content
    (folder / "features.json").write_text(json.dumps(whole))
    if refusal(FeatureMetadata.read, folder / "features.json") is None:
        read = FeatureMetadata.read(folder / "features.json")
        assert read.feature_sets == {name: tuple(members) for name, members in whole["feature_sets"].items()}
        assert read.targets == tuple(whole["targets"])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe{", b"[" * 100_000, None])
def test_damaged_files_are_refused_in_one_line(tmp_path, content):
    """A file that is cut off, of another encoding, nested without end, or absent is one line."""
    if content is not None:
        (tmp_path / "features.json").write_bytes(content)
    with pytest.raises(DatasetIncomplete, match="is damaged; delete it and run `bot sync`"):
        FeatureMetadata.read(tmp_path / "features.json")


def test_a_byte_order_mark_is_nothing(tmp_path):
    """A file with a byte order mark is read as without it."""
    path = written(tmp_path, SETS)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())

    assert FeatureMetadata.read(path).members("small") == tuple(FEATURES[:2])


def test_a_set_that_is_not_there_is_named(tmp_path):
    """A feature set that a version lacks is refused with the sets that it has."""
    with pytest.raises(SchemaMismatch, match="'huge' is not in this data version; known: all, medium, rain"):
        FeatureMetadata.read(written(tmp_path, SETS)).members("huge")


def test_a_mistyped_set_is_answered_by_its_neighbour(tmp_path):
    """A feature set with a typo is refused with the set that was probably meant."""
    with pytest.raises(SchemaMismatch, match=r"'smal' is not in this data version; did you mean small\?$"):
        FeatureMetadata.read(written(tmp_path, SETS)).members("smal")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("small", ""),
        ("rain", ""),
        ("fncv3_features", ""),
        ("smal", "feature set 'smal' is not in v5.3; did you mean small?"),
    ],
)
def test_without_data_the_names_of_the_pinned_version_count(tmp_path, name, reason):
    """Before features.json is there, sizes, groups and the sets of older versions are known by name."""
    assert why_unknown(name, tmp_path / "v5.3" / "features.json") == reason


def test_with_data_their_own_sets_count(tmp_path):
    """A group that the version of the data does not list is unknown, although another version has it."""
    path = written(tmp_path, SETS)

    assert why_unknown("rain", path) == ""
    assert why_unknown("faith", path).startswith(f"feature set 'faith' is not in {tmp_path.name}; known: all, medium, ")
