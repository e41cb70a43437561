"""What is told while something takes its time: progress, and curves in TensorBoard or MLflow where they are installed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import structlog

from bot.errors import OperatorNeeded

Tracker = Literal["off", "tensorboard", "mlflow"]
Track = Callable[[str, int, Mapping[str, float]], None]
"""Called with the name of a run, its step, and what was measured there."""

Watcher = Callable[[str, float, str], None]
"""Called with what is being done, the share that is done, and a few words about it."""

_MODULES = {"tensorboard": "torch.utils.tensorboard", "mlflow": "mlflow"}
log = structlog.get_logger()


@contextmanager
def tracking(tracker: Tracker, folder: Path) -> Iterator[Track]:
    """
    Yield what measurements go to: files of the tool in *folder*, or nowhere.

    A tool that fails while training goes on is logged once and not called again.

    Raises:
        OperatorNeeded: The tool is not installed.
    """
    if tracker == "off":
        yield lambda _run, _step, _measured: None
        return
    try:
        module = import_module(_MODULES[tracker])
    except ImportError:
        raise OperatorNeeded(f"{tracker} is not installed; install it, or set BOT_TRACKER=off") from None
    folder.mkdir(parents=True, exist_ok=True)
    write, close = _tensorboard(module, folder) if tracker == "tensorboard" else _mlflow(module, folder)
    broken = False

    def track(run: str, step: int, measured: Mapping[str, float]) -> None:
        nonlocal broken
        if broken:
            return
        try:
            for name, value in measured.items():
                write(f"{run}/{name}", value, step)
        except Exception as error:  # noqa: BLE001 - somebody else's tool must not end a training
            broken = True
            log.warning("tracking.failed", tracker=tracker, reason=str(error))

    try:
        yield track
    finally:
        close()


def _tensorboard(module: Any, folder: Path) -> tuple[Callable[[str, float, int], None], Callable[[], None]]:  # noqa: ANN401
    writer = module.SummaryWriter(str(folder))
    return writer.add_scalar, writer.close


def _mlflow(module: Any, folder: Path) -> tuple[Callable[[str, float, int], None], Callable[[], None]]:  # noqa: ANN401
    module.set_tracking_uri(folder.resolve().as_uri())
    module.start_run()
    return lambda name, value, step: module.log_metric(name, value, step=step), module.end_run
