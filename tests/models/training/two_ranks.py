"""Train small networks among the processes that torchrun started, and write down what each of them got."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from models.training.distributed import team
from tests.models.training.era_world import CONFIG, OPTIONS, PLAIN, fit, world

BODIES = ("row", "mlp")


def main() -> None:
    """Write this rank's networks and evaluations to the folder given."""
    torch.set_num_threads(1)
    with team() as ranks:
        for body in BODIES:
            options, config = replace(OPTIONS, eras_per_step=2, epochs=1, batch_rows=50), CONFIG
            if body == "mlp":
                options = replace(options, steps=14, ema=0.9, loss="mse")
                config = replace(PLAIN, mixing="mlp", head="score")
            trained = fit(world(eras=60), replace(config, dropout=0.1), options)
            path = Path(sys.argv[1], f"{body}-{ranks.size}-{ranks.rank}.pt")
            torch.save(trained.network.state_dict(), path)
            corr = [evaluation.score for evaluation in trained.evaluations]
            torch.save({"corr": corr, "eras": list(trained.score_per_era)}, path.with_suffix(".run.pt"))


if __name__ == "__main__":
    main()
