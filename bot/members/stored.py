"""Members as an artifact's manifest lists them, in its present and in its older form."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from bot.errors import ArtifactInvalid
from bot.members import registry
from bot.members.kinds.lightgbm import LightGBMOptions
from bot.members.kinds.tsmixer import TSMixerOptions
from bot.members.member import Member, from_plain
from bot.members.network.options import NetworkOptions

_NETWORK, _TREES = "tsmixer", "gbm"


def to_json(members: Iterable[Member]) -> list[dict[str, Any]]:
    """Return members as JSON; :func:`from_manifest` is the inverse."""
    return [asdict(member) for member in members]


def from_manifest(manifest: Mapping[str, Any]) -> tuple[Member, ...]:
    """
    Return the members of an artifact; each names its target.

    Raises:
        ArtifactInvalid: The manifest lists them in an unknown form.
        BadConfig: A kind is not installed.
    """
    try:
        if "members" in manifest:
            return tuple(_member(entry) for entry in manifest["members"])
        recipe = manifest["recipe"]
        network = {**recipe.get("network", {}), **_history(manifest)}
        return named_members(
            dict(manifest.get("weights", recipe["weights"])).items(),
            main=str(manifest["target"]),
            network=from_plain(NetworkOptions, network),
            residual=network.get("labels") == "benchmark_residual",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ArtifactInvalid(f"artifact {manifest.get('id')}: its members have an unknown form ({reason})") from None


def named_members(
    weights: Iterable[tuple[str, float]],
    *,
    main: str | None,
    network: NetworkOptions,
    residual: bool,
    preset: str = "small",
) -> tuple[Member, ...]:
    """
    Return the members that older recipes and artifacts list by names.

    ``tsmixer`` is the network's output for the main target and ``tsmixer_<name>`` that for ``target_<name>``; ``gbm`` and
    ``gbm_<name>`` are trees of these targets.

    Args:
        weights: Name and share of each member.
        main: Main target; ``None`` leaves it to the recipe.
        network: Options of the network.
        residual: Whether the network learns the residual of the benchmark.
        preset: Preset of the trees.

    Raises:
        ValueError: A name is none of these.
    """
    owner = Member(
        name=_NETWORK,
        kind="tsmixer",
        weight=0.0,
        target=main,
        label="residual" if residual else "target",
        options=TSMixerOptions(network=replace(network, stacked_preset=preset)),
    )
    found: dict[str, Member] = {}
    for name, weight in weights:
        kind, _, suffix = name.partition("_")
        target = f"target_{suffix}" if suffix else main
        if kind == _NETWORK:
            found.setdefault(_NETWORK, owner)
            found[name] = replace(owner, name=name, weight=float(weight), target=target)
            if name != _NETWORK:
                found[name] = replace(found[name], head_of=_NETWORK, options=TSMixerOptions())
        elif kind == _TREES:
            options = LightGBMOptions(preset=preset)
            found[name] = Member(name=name, kind="lightgbm", weight=float(weight), target=target, options=options)
        else:
            raise ValueError(f"members are tsmixer, gbm, tsmixer_<name> and gbm_<name>, not {name}")
    return tuple(found.values())


def _member(entry: Mapping[str, Any]) -> Member:
    kind = registry.find(str(entry["kind"]))
    plain: Member = from_plain(Member, {**entry, "options": None})
    return replace(plain, options=from_plain(kind.options, entry["options"]))


def _history(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the history that the network of an older artifact reads."""
    about = manifest.get("history") or {}
    return {
        key: about[name] for key, name in (("history_targets", "targets"), ("lookback", "lookback")) if name in about
    }
