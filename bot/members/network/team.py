"""
Fit a network in this process, or in all processes that ``torchrun`` started.

One process leads: it syncs, fits trees, judges and writes. The others wait for requests and take part in every fit of a
network. They read the same store, and the predictions that the leading process's trees have written to disk.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bot.members.fitting import Device, FitJob
from bot.members.network.fit import FittedNetwork, NetworkFitter
from bot.members.network.options import NetworkOptions
from bot.members.network.stacking import Stacker
from bot.members.network.validation_score import ValidationScore
from models.training.distributed import Team
from models.trees.gbm_options import PRESETS


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRequest:
    """
    One fit, as the leading process sends it to the others; data are sent as the name of their store.

    Attributes:
        job: The fit, without callbacks.
        options: Options of the network.
    """

    job: FitJob
    options: NetworkOptions


def fit_together(job: FitJob, options: NetworkOptions) -> FittedNetwork:
    """
    Fit with the following processes; trees that the network is stacked on go to the folders of the job.

    Raises:
        TrainingStopped: A process was stopped; everything is saved.
        ProcessLost: Another process has ended.
    """
    fitter = _fitter(job, options)
    Team.current().tell(FitRequest(job=job.without_callbacks(), options=options))
    return fitter.fit(job.train, job.validation, job.resolved)


def follow(*, device: Device, should_stop: Callable[[], bool] = lambda: False) -> None:
    """
    Take part in every fit until the leading process has none left.

    Args:
        device: Device of this process.
        should_stop: Called after every step; one process that stops ends all.

    Raises:
        DatasetIncomplete: This process cannot read the store.
        TrainingStopped: A process was stopped.
        ProcessLost: Another process has ended.
    """
    none: FitRequest | None = None
    while (request := Team.current().tell(none)) is not None:
        with tempfile.TemporaryDirectory() as scratch:
            job = replace(
                request.job, judged=Path(scratch), served=Path(scratch), device=device, should_stop=should_stop
            )
            _fitter(job, request.options).fit(job.train, job.validation, job.resolved)


def _fitter(job: FitJob, options: NetworkOptions) -> NetworkFitter:
    """Return the fitter of a network, stacked on trees where its options want it; the trees are fitted once."""
    data, refit_data = job.data, None
    if options.stacked:
        stacker = Stacker(
            owner=job.unit.owner.name,
            trees=PRESETS[options.stacked_preset],
            chunk=options.stacked_chunk,
            every=job.every,
            folds=job.folds,
            checkpoints=job.checkpoints,
            # Trees of many targets and folds: how many is known only here, so they count as the begin of the network.
            report_progress=lambda _stage, _share, note: job.report_progress("network", 0.0, note),
            should_stop=job.should_stop,
        )
        data = stacker.stack(job.data, job.train, job.judged)
        if job.resolved:
            refit_data = stacker.stack(job.data, job.resolved, job.served)
    owner, name = job.unit.owner, options.stops_on(job.unit.owner.label)
    pays = name == "pay"
    return NetworkFitter(
        data=data,
        refit_data=refit_data,
        options=options,
        target=str(owner.target),
        residual=owner.residual if owner.label == "residual" else None,
        score=ValidationScore(
            name=name,
            corr_multiplier=job.corr_multiplier if pays else 0.0,
            mmc_multiplier=job.mmc_multiplier if pays else 0.0,
        ),
        half_life=job.half_life,
        device=job.device,
        checkpoints=job.checkpoints,
        report_progress=job.report_progress,
        should_stop=job.should_stop,
        record_metrics=job.record_metrics,
    )
