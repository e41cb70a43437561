"""Manifests as small as the store of artifacts accepts them."""


def manifest(recipe="standard", **more):
    """Return a manifest with every key that serving needs."""
    return {
        "recipe": {"name": recipe, "neutralize": 0.0},
        "members": [],
        "weights": {},
        "target": "target_ender_60",
        "neutralizers": [],
        "scores": {},
        **more,
    }
