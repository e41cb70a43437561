"""Record training curves in TensorBoard or MLflow where one of them is installed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import structlog

from bot.errors import OperatorNeeded
from bot.system.progress import RecordMetrics

Tracker = Literal["off", "tensorboard", "mlflow"]
_MODULES = {"tensorboard": "torch.utils.tensorboard", "mlflow": "mlflow"}
log = structlog.get_logger()


@contextmanager
def tracking(tracker: Tracker, folder: Path) -> Iterator[RecordMetrics]:
    """
    Yield a function that records metrics in files of *tracker* below *folder*, or does nothing when it is ``off``.

    A tracker that fails during training is logged once and not called again.

    Raises:
        OperatorNeeded: The tracker is not installed.
    """
    if tracker == "off":
        yield lambda _run, _step, _metrics: None
        return
    try:
        module = import_module(_MODULES[tracker])
    except ImportError:
        raise OperatorNeeded(f"{tracker} is not installed; install it, or set BOT_TRACKER=off") from None
    folder.mkdir(parents=True, exist_ok=True)
    write, close = _tensorboard(module, folder) if tracker == "tensorboard" else _mlflow(module, folder)
    broken = False

    def record_metrics(run: str, step: int, metrics: Mapping[str, float]) -> None:
        nonlocal broken
        if broken:
            return
        try:
            for name, value in metrics.items():
                write(f"{run}/{name}", value, step)
        except Exception as error:  # noqa: BLE001 - a third party's tool must not end a training
            broken = True
            log.warning("tracking.failed", tracker=tracker, reason=str(error))

    try:
        yield record_metrics
    finally:
        close()


def _tensorboard(module: Any, folder: Path) -> tuple[Callable[[str, float, int], None], Callable[[], None]]:  # noqa: ANN401
    writer = module.SummaryWriter(str(folder))
    return writer.add_scalar, writer.close


def _mlflow(module: Any, folder: Path) -> tuple[Callable[[str, float, int], None], Callable[[], None]]:  # noqa: ANN401
    module.set_tracking_uri(folder.resolve().as_uri())
    module.start_run()
    return lambda name, value, step: module.log_metric(name, value, step=step), module.end_run
