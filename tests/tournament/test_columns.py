"""Data versions sort by their numbers."""

from bot.tournament.columns import version_order


def test_versions_are_ordered_by_their_numbers():
    """Ten comes after nine; a name that is no version comes before all versions."""
    assert sorted(["v5.10", "v6.0", "latest", "v5.9"], key=version_order) == ["latest", "v5.9", "v5.10", "v6.0"]
