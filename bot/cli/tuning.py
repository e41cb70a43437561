"""The command that looks for a better recipe, on as many machines as run it."""

from typing import Annotated

import typer

from bot.cli.app import app
from bot.errors import BadConfig, OperatorNeeded


@app.command()
def tune(
    trials: Annotated[int, typer.Option(min=1, help="Trials the study shall have in the end, over all machines.")] = 50,
    study: Annotated[
        str | None,
        typer.Option(help="Journal file all machines share, or postgresql://...; default: in the state directory."),
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Where to begin; default: the recipe of the settings.")] = None,
    name: Annotated[str, typer.Option(help="Of the recipe file that the winner becomes.")] = "tuned",
    feature_sets: Annotated[str, typer.Option(help="To choose from, by commas; default: that of the settings.")] = "",
    presets: Annotated[str, typer.Option(help="Of trees, to choose from, by commas; default: the recipe's.")] = "",
    eras: Annotated[int | None, typer.Option(min=1, help="Newest eras before the hold-out; default: all.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Train on every n-th era; all are validated on.")] = 4,
    chunk: Annotated[int, typer.Option(min=2, help="Eras of a walk-forward fold.")] = 156,
    penalty: Annotated[float, typer.Option(min=0, help="Deviations between folds taken off the mean.")] = 0.5,
) -> None:
    """Try recipes walk-forward, never on the hold-out; run it again, or on other machines, and it goes on."""
    from bot import assembly  # noqa: PLC0415
    from bot.cli.console import training_bar  # noqa: PLC0415
    from bot.settings import load_settings  # noqa: PLC0415
    from bot.system import logs  # noqa: PLC0415
    from bot.system.signals import stop_on_signal  # noqa: PLC0415
    from bot.training import recipe_file  # noqa: PLC0415
    from bot.training.recipes import RECIPES  # noqa: PLC0415

    settings = load_settings()
    logs.configure(**settings.logging)
    try:
        from bot.research.experiment import Experiment  # noqa: PLC0415 - torch is loaded by training alone
        from bot.research.trial_worker import Worker, open_study  # noqa: PLC0415
        from bot.research.tune import SearchSpace, Tuning  # noqa: PLC0415
        from models.trees.gbm_options import PRESETS  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise OperatorNeeded(f"{error.name} is not installed; install numerai-bot[train] to tune") from None
    base = recipe_file.find(recipe or settings.recipe)
    wanted = tuple(presets.split(",")) if presets else (base.gbm,)
    if unknown := sorted(set(wanted) - set(PRESETS)):
        raise BadConfig(f"no preset {', '.join(unknown)}; presets: {', '.join(PRESETS)}")
    with stop_on_signal() as should_stop, training_bar() as watch:
        tuning = Tuning(
            experiment=Experiment(
                state_dir=settings.state_dir,
                data_version=assembly.pins(settings, [base.name])[0].in_use,
                feature_set=base.feature_set or settings.feature_set,
                target=base.target or settings.target,
                recipe=base,
                eras=eras,
                every=every,
                chunk=chunk,
                device=settings.device,
                watch=watch,
            ),
            space=SearchSpace(
                base=base,
                feature_sets=tuple(feature_sets.split(","))
                if feature_sets
                else (base.feature_set or settings.feature_set,),
                presets=wanted,
            ),
            penalty=penalty,
            should_stop=should_stop,
        )
        path, mark = recipe_file.FOLDER / f"{name}.toml", f"# {tuning.name}, "
        if name in RECIPES or (path.is_file() and not path.read_text(encoding="utf-8").startswith(mark)):
            raise BadConfig(f"recipe {name!r} is there already, and not by this study; choose another --name")
        shared = open_study(study or str(settings.state_dir / "tuning" / "study.journal"), tuning.name)
        finished = Worker(study=shared, trials=trials, should_stop=should_stop).work(tuning.objective)
    typer.echo(f"{shared.study_name}: {finished} trials done here, of {trials} in all")
    if should_stop():
        typer.echo("stopped; run `bot tune` again, it goes on from there")
        return
    winner = tuning.winner(shared, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_suffix(".tmp")
    found = f"trial {shared.best_trial.number}, worth {shared.best_value:.5f} an era"
    staging.write_text(f"{mark}{found}\n{recipe_file.to_toml(winner)}", encoding="utf-8")
    staging.replace(path)
    paid = "CORR and BMC" if tuning.benchmark else "CORR alone, for some era lacks the benchmark's predictions"
    typer.echo(f"best: {found} by {paid}")
    typer.echo(f"wrote {path}; train it with `bot retrain --recipe {name}`")
