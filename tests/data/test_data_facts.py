"""Facts of the data are read from the values, and every change is a finding."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bot.data.data_facts import DataFacts, compare_facts
from bot.data.ingest import update
from tests.data.store_files import NAMES, TARGETS, table


def store(tmp_path, content):
    pq.write_table(content, tmp_path / "validation.parquet")
    return update(tmp_path / "store", [tmp_path / "validation.parquet"], version="v5.3")


@pytest.fixture
def facts(tmp_path):
    """Facts of eras 1 to 9, the newest two of them unresolved, with the usual counts of unresolved eras."""
    return replace(DataFacts.of(store(tmp_path, table(1, 9))), unresolved={"20": 5, "60": 13})


def test_facts_are_read_from_the_values(tmp_path):
    """The alias is found by its values, and resolved eras by known targets and ``data_type``."""
    facts = DataFacts.of(store(tmp_path, table(1, 9)))

    assert (facts.alias, facts.test, facts.labelled, facts.newest) == ("target_ender_60", 2, "0007", "0009")
    assert (facts.resolved, facts.unresolved) == ({"20": "0007", "60": "0007"}, {"20": 2, "60": 2})
    assert "`target` is target_ender_60; 20D targets to era 0007" in str(facts)


def changed(content, name, values):
    """Return a table with one column replaced or added."""
    column = pa.array(values, type=pa.float32())
    if name not in content.column_names:
        return content.append_column(name, column)
    return content.set_column(content.column_names.index(name), name, column)


def test_alias_of_nothing_is_a_finding(tmp_path):
    """A `target` that equals no named target is a finding."""
    content = table(1, 4)
    found = compare_facts(
        tmp_path / "t.json", DataFacts.of(store(tmp_path, changed(content, "target", [0.5] * len(content))))
    )

    assert any("equals no single named target" in one for one in found)


def test_alias_of_two_is_a_finding(tmp_path):
    """A `target` that equals two named targets is an alias of neither."""
    content = table(1, 4)
    twin = changed(content, "target_ender_20", content.column("target_ender_60").to_pylist())
    facts = DataFacts.of(store(tmp_path, twin))

    assert facts.alias is None


def test_values_that_contradict_a_name_are_a_finding(tmp_path):
    """A target that ends apart from its horizon, or has an unknown horizon, is a finding and no error."""
    content = table(1, 9)
    values = np.where(np.array(content.column("era")) > "0004", np.nan, 0.5)
    odd = changed(changed(content, "target_odd_20", values), "target_new_90", values)
    found = " ".join(compare_facts(tmp_path / "t.json", DataFacts.of(store(tmp_path, odd))))

    assert "target_odd_20 is known up to era 0004" in found
    assert "never used: target_new_90" in found


@pytest.mark.parametrize(
    ("unresolved", "message"),
    [
        ({"20": 6, "60": 13}, "20D targets are unknown in the newest 6 eras; the history assumes 5"),
        ({"20": 5, "60": 5}, "60D targets are unknown in the newest 5 eras only, sooner than 60 market days"),
    ],
)
def test_tail_that_fits_no_horizon_is_a_finding(tmp_path, facts, unresolved, message):
    """Targets that are known sooner or later than their horizon are findings: training would see more than live rows do."""
    assert message in compare_facts(tmp_path / "t.json", replace(facts, unresolved=unresolved))


def test_eras_that_are_not_there_are_a_finding(tmp_path):
    """Missing eras are named: positions of neighbours are no longer a week apart."""
    content = pa.concat_tables([table(1, 3, unresolved=0), table(5, 6, unresolved=0), table(9, 9, unresolved=0)])
    found = compare_facts(tmp_path / "t.json", DataFacts.of(store(tmp_path, content)))

    assert "eras are not in the data: 0004, 0007 to 0008; lags and embargoes count the eras that are" in found


def test_an_era_of_two_rows_is_a_finding(tmp_path):
    """An era that is far smaller than the others is named."""
    content = pa.concat_tables([table(1, 3, unresolved=0), table(4, 4, unresolved=0).slice(0, 2), table(5, 9)])
    facts = DataFacts.of(store(tmp_path, content))

    assert facts.small == ("0004",)
    assert any("eras of few rows: 0004; " in one for one in compare_facts(tmp_path / "t.json", facts))


def test_nothing_changed_is_no_finding(tmp_path, facts):
    """The same facts twice give no finding."""
    first, second = (compare_facts(tmp_path / "t.json", facts) for _ in range(2))

    assert (first, second) == ((), ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alias": "target_ender_20"}, "was target_ender_60 and is target_ender_20"),
        ({"features": NAMES[1:]}, "1 are gone (feature_00), 0 are new"),
        ({"features": NAMES[::-1]}, "features are in another order"),
        ({"targets": (*TARGETS, "target_agnes_60")}, "targets changed: 0 are gone (none), 1 are new (target_agnes_60)"),
        ({"resolved": {"20": "0005", "60": "0005"}}, "known up to era 0007 and now only up to 0005"),
        ({"test": 4, "labelled": "0005"}, "2 eras were marked test, after era 0007; now 4 are, after era 0005"),
        ({"newest": "0008"}, "ended with era 0009"),
        ({"resolved": {"20": "0007", "60": "0009"}}, "resolved further"),
    ],
)
def test_changes_are_findings(tmp_path, facts, change, message):
    """A moved alias, a moved boundary and changed columns are reported once each."""
    compare_facts(tmp_path / "t.json", facts)
    other = replace(facts, **change)
    first, second = (compare_facts(tmp_path / "t.json", other) for _ in range(2))

    assert any(message in one for one in first)
    assert not any(message in one and "further" not in message for one in second)


def test_damaged_record_counts_as_none(tmp_path, facts):
    """Recorded facts that cannot be read are replaced."""
    (tmp_path / "t.json").write_text("{")

    assert compare_facts(tmp_path / "t.json", facts) == ()
