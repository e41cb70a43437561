"""Train a small network among the processes that torchrun started, and write down what each of them got."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from models.training.distributed import team
from tests.models.training.era_world import CONFIG, OPTIONS, PLAIN, fit, world


def main() -> None:
    """Write this rank's network and evaluations to the folder given."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    with team() as ranks:
        options, config = replace(OPTIONS, eras_per_step=2, epochs=1, batch_rows=50), CONFIG
        if sys.argv[2] == "mlp":
            options = replace(options, steps=14, ema=0.9, loss="mse")
            config = replace(PLAIN, mixing="mlp", head="score")
        trained = fit(world(eras=60), replace(config, dropout=0.1), options)
        torch.save(trained.network.state_dict(), folder / f"{ranks.size}-{ranks.rank}.pt")
        corr = [evaluation.score for evaluation in trained.evaluations]
        torch.save({"corr": corr, "eras": list(trained.score_per_era)}, folder / f"{ranks.size}-{ranks.rank}.run.pt")


if __name__ == "__main__":
    main()
