"""
Run a pickled model as Numerai's machines do: one core, 4 GB, no network, its result checked.

Another interpreter, with Numerai's packages and without the bot, executes this file, so it imports nothing of the bot.
"""

import json
import os
import resource
import sys
import time
from inspect import signature

MEMORY_BYTES = 4 * 10**9
"""Limit of the address space, which is stricter than a limit of the memory in use."""


def _refuse(event: str, _arguments: object) -> None:
    """Refuse every network connection."""
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise PermissionError("an uploaded model has no network")


def main(model: str, live: str, benchmarks: str, output: str) -> None:
    """
    Score a live file with a pickled model and write ids and predictions; print seconds and peak memory as JSON.

    Raises:
        ValueError: Numerai would refuse the model's result.
    """
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    sys.addaudithook(_refuse)
    began = time.monotonic()

    import pandas as pd  # noqa: PLC0415 - under the limits, as everything after it

    predict = pd.read_pickle(model)  # noqa: S301 - made a moment ago by the process that started this one
    features = pd.read_parquet(live)
    features = (
        features.set_index("id") if "id" in features.columns else features
    )  # Numerai's own files have it as index
    takes = len(signature(predict).parameters)
    predictions = predict(features) if takes == 1 else predict(features, pd.read_parquet(benchmarks))
    if list(predictions.columns) != ["prediction"] or not predictions.index.equals(features.index):
        raise ValueError("the model does not return one prediction for each id, in order")
    values = predictions["prediction"]
    if not ((values > 0) & (values < 1)).all():
        raise ValueError("a prediction is missing or outside (0, 1)")
    with open(output, "w", encoding="utf-8") as file:  # noqa: PTH123 - no more imports than needed
        file.writelines(
            f"{identity},{value!r}\n" for identity, value in zip(values.index, values.tolist(), strict=True)
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": time.monotonic() - began, "peak_bytes": peak}))  # noqa: T201 - read by the bot


if __name__ == "__main__":
    main(*sys.argv[1:])
