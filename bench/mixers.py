"""
The bodies of the network beside each other in CORR: the row-wise mixer, the mixer of whole eras, and the perceptron.

With ``--whole``, the recipe `standard` with its trees, once with each of the two mixers.

The three have the same encoder, options and inputs; the perceptron takes no history. They are fitted walk-forward on the
same folds of generated worlds with several seeds, by `bot evaluate compare`'s own code. The worlds' factor returns last from
week to week with a share ``persistence`` of their variance, which past returns can predict and features alone cannot. Sizes
are those of small worlds. Rows per second of the bodies at full width: ``cpu_epoch.py``.

``README.md`` has the figures, and what they decide.
"""

import argparse
import json
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path

from contribution import HISTORY, run, sized

from bot.cli.research.compare import show
from bot.research.experiment import plain
from bot.sandbox.world.schema import SIZES
from bot.training.recipes import STANDARD, Recipe

BODIES = ("row", "era", "none")


def recipe(mixing: str, *, is_whole: bool = False) -> Recipe:
    """Return the standard recipe in the size of a small world: its network alone, or all members, with one body."""
    whole = sized(STANDARD)
    (mixer,) = (one for one in whole.members if one.kind == "tsmixer")
    others = tuple(one for one in whole.members if one.kind != "tsmixer") if is_whole else ()
    past = {"lookback": mixer.options.network.lookback, "history_targets": HISTORY}
    network = replace(mixer.options.network, mixing=mixing, **({} if mixing == "none" else past))
    mixed = replace(mixer, options=replace(mixer.options, network=network))
    return replace(whole, name=mixing, members=(mixed, *others))


def main() -> None:
    """Compare, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--world", type=int, default=1, help="seed of the world")
    parser.add_argument("--rows", type=int, default=250, help="rows of an era")
    parser.add_argument("--persistence", type=float, default=0.15)
    parser.add_argument("--factors", type=float, default=SIZES["tiny"].factors, help="size of weekly factor returns")
    parser.add_argument("--whole", action="store_true", help="the whole recipe with each of the two mixers")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        size = {"rows": (options.rows, options.rows), "factors": options.factors}
        bodies = ("row", "era") if options.whole else BODIES
        chosen = [recipe(mixing, is_whole=options.whole) for mixing in bodies]
        result = run(
            Path(folder), chosen, seeds=options.seeds, size=size, seed=options.world, persistence=options.persistence
        )
    show(result)
    if options.json:
        options.json.write_text(json.dumps(plain(asdict(result)), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
