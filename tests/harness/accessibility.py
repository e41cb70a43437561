"""Violations of the Web Content Accessibility Guidelines on a page in a browser, found by axe."""

import pytest

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def violations(page) -> list[str]:
    """Return each violation of level A or AA as its rule and the first element that breaks it; axe must have looked at something."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page, options={"runOnly": RULES}).response
    assert len(found["passes"]) > 5
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found["violations"]]
