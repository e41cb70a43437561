"""The page about files knows what a bot writes."""

from docs.generator.files import pattern_of


def test_the_page_of_files_knows_every_file(installation):
    """Every file that a bot keeps after a training and a round is on the page about files."""
    installation.bot("submit", "--round", "latest")
    found = [
        path.relative_to(installation.state).as_posix() for path in installation.state.rglob("*") if path.is_file()
    ]

    assert len(found) > 10
    assert [path for path in found if pattern_of(path) is None] == []
