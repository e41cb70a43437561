"""What the data say about themselves is read from them, and never changes silently."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bot.ingest import update
from bot.truth import Truth, compare
from tests.store_files import table


def store(tmp_path, content):
    pq.write_table(content, tmp_path / "validation.parquet")
    return update(tmp_path / "store", [tmp_path / "validation.parquet"], version="v5.3")


@pytest.fixture
def truth(tmp_path):
    """Facts of eras 1 to 9, the newest two of them unresolved."""
    return Truth.of(store(tmp_path, table(1, 9)))


def test_facts_are_read_from_the_values(truth):
    """The alias is found by its values, the boundary by what is known, the test eras by their type."""
    assert (truth.alias, truth.test, truth.newest) == ("target_ender_60", 2, "0009")
    assert truth.resolved == {"20": "0007", "60": "0007"}


def test_alias_of_nothing_is_a_finding(tmp_path):
    """A `target` that equals no named target is said."""
    content = table(1, 4)
    other = pa.array([0.5] * content.num_rows, type=pa.float32())
    content = content.set_column(content.column_names.index("target"), "target", other)

    assert any(
        "equals no named target" in one for one in compare(tmp_path / "t.json", Truth.of(store(tmp_path, content)), ())
    )


def test_nothing_changed_is_no_finding(tmp_path, truth):
    """The same facts twice say nothing."""
    first, second = (compare(tmp_path / "t.json", truth, ["v5.3/live.parquet"]) for _ in range(2))

    assert (first, second) == ((), ())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"alias": "target_ender_20"}, "was target_ender_60 and is target_ender_20"),
        ({"features": 8, "features_sha256": "other"}, "9 before, 8 now"),
        ({"resolved": {"20": "0005", "60": "0005"}}, "known up to era 0007 and now only up to 0005"),
        ({"newest": "0008"}, "ended with era 0009"),
        ({"resolved": {"20": "0007", "60": "0009"}}, "resolved further"),
    ],
)
def test_changes_are_findings(tmp_path, truth, change, said):
    """A moved alias, other features, and a boundary that went back are each said once."""
    compare(tmp_path / "t.json", truth, ())
    changed = replace(truth, **change)
    first, second = (compare(tmp_path / "t.json", changed, ()) for _ in range(2))

    assert any(said in one for one in first)
    assert not any(said in one and "further" not in said for one in second)


def test_newer_version_is_named_and_not_taken(tmp_path, truth):
    """Another data version on the server changes nothing but the log."""
    (finding,) = compare(tmp_path / "t.json", truth, ["v5.3/live.parquet", "v5.10/live.parquet", "v4.3/live.parquet"])

    assert "v5.10 is offered; v5.3 stays pinned" in finding


def test_damaged_record_counts_as_none(tmp_path, truth):
    """Facts that cannot be read are written anew."""
    (tmp_path / "t.json").write_text("{")

    assert compare(tmp_path / "t.json", truth, ()) == ()
