"""
Commands of research: names, options and help.

A command imports its module when it is called, so that `--help` loads no library and works without the train extra.
"""

from typing import Annotated

import typer

from bot.cli import completion
from bot.cli._groups import Grouped
from bot.cli.answer import answer
from bot.cli.extras import needs_training_packages

app = typer.Typer()

evaluate = typer.Typer(cls=Grouped, help="Measure models and ideas; changes nothing that submits.")
app.add_typer(evaluate, name="evaluate")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Recipe = Annotated[
    str | None,
    typer.Option(
        help="Recipe whose models are tried; default: the first slot's recipe.", autocompletion=completion.recipes
    ),
]
Eras = Annotated[int | None, typer.Option(min=1, help="Newest labelled eras to use; default: all.")]
Every = Annotated[int, typer.Option(min=1, help="Train on every n-th era; validate on all eras of a fold.")]
Chunk = Annotated[int, typer.Option(min=2, help="Eras of a walk-forward fold.")]


@app.command()
def report(
    artifact: Annotated[
        str | None,
        typer.Argument(
            help="Id of an artifact, or its beginning; default: the champion.", autocompletion=completion.artifacts
        ),
    ] = None,
    *,
    again: Annotated[
        bool, typer.Option("--again", help="Evaluate again, on the eras that have resolved since.")
    ] = False,
    as_json: Json = False,
) -> None:
    """
    Write the page about an artifact and print its path.

    The page shows the artifact's evaluation, which is made first where there is none.
    """
    from bot.cli.research.report import write_report

    answer(lambda: write_report(artifact, again=again), as_json=as_json)


@app.command()
def diagnose(
    artifact: Annotated[
        str | None,
        typer.Option(
            help="Id of an artifact, or its beginning; default: champions without diagnostics.",
            autocompletion=completion.artifacts,
        ),
    ] = None,
    account: Annotated[str | None, typer.Option(help="One of several accounts in bot.toml.")] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Upload again what has been diagnosed already.")] = False,
    as_json: Json = False,
) -> None:
    """
    Compare an artifact's scores with Numerai's diagnostics.

    A difference is a fault in the bot's scores or in its data.
    """
    from bot.cli.research.diagnose import diagnose_artifacts

    answer(lambda: diagnose_artifacts(artifact, account=account or None, force=force), as_json=as_json)


@app.command()
def tune(
    trials: Annotated[int, typer.Option(min=1, help="Trials of the study, all machines together.")] = 50,
    study: Annotated[
        str | None,
        typer.Option(help="sqlite:///PATH, or postgresql://... for several machines; default: in the state directory."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Recipe to start from; default: the first slot's recipe.", autocompletion=completion.recipes),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the recipe file to write for the winner.")] = "tuned",
    feature_sets: Annotated[
        str | None, typer.Option(help="Feature sets to choose from beside that of the settings, by commas.")
    ] = None,
    presets: Annotated[
        str | None, typer.Option(help="LightGBM presets to choose from, by commas; default: around the recipe's.")
    ] = None,
    eras: Annotated[int | None, typer.Option(min=1, help="Newest eras before the hold-out; default: all.")] = None,
    every: Every = 4,
    chunk: Chunk = 156,
    penalty: Annotated[
        float, typer.Option(min=0, help="Standard deviations between folds to subtract from the mean.")
    ] = 0.5,
    *,
    as_json: Json = False,
) -> None:
    """
    Search for a better recipe, walk-forward, never on the hold-out.

    Run it again, or on other machines that share the study, to continue.
    """
    with needs_training_packages("tune"):
        from bot.cli.research.tune import tune_recipe
    answer(
        lambda: tune_recipe(
            trials=trials,
            study=study,
            recipe=recipe,
            name=name,
            feature_sets=feature_sets,
            presets=presets,
            eras=eras,
            every=every,
            chunk=chunk,
            penalty=penalty,
        ),
        as_json=as_json,
    )


@evaluate.command()
def compare(
    recipes: Annotated[
        list[str],
        typer.Argument(
            help="Two or more recipes; the others are compared with the first.", autocompletion=completion.recipes
        ),
    ],
    *,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Repetitions of each recipe with other seeds.")] = 1,
    eras: Eras = None,
    every: Every = 4,
    chunk: Chunk = 156,
    as_json: Json = False,
) -> None:
    """
    Compare recipes on the same folds: CORR, BMC, MMC and pay.

    An interrupted comparison continues; models that recipes share are trained once.
    """
    with needs_training_packages("compare recipes"):
        from bot.cli.research.compare import compare_recipes
    answer(lambda: compare_recipes(recipes, seeds=seeds, eras=eras, every=every, chunk=chunk), as_json=as_json)


@evaluate.callback(invoke_without_command=True)
def overview(
    context: typer.Context,
    artifact: Annotated[
        str | None,
        typer.Option(
            help="Id of an artifact, or its beginning; default: the champion.", autocompletion=completion.artifacts
        ),
    ] = None,
    pay: Annotated[
        str | None,
        typer.Option(
            help="Payout of a round, as in corr=3,mmc=15,clip=1; default: that of the newest round with a price."
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """
    Score an artifact's judged members on eras that they have not seen.

    Prints a table and writes JSON and page. With a sub-command, tries an idea on the same data instead.
    """
    if context.invoked_subcommand is not None:
        return
    with needs_training_packages("evaluate"):
        from bot.cli.research.evaluate import evaluate_artifact
    answer(lambda: evaluate_artifact(artifact, pay), as_json=as_json)


@evaluate.command()
def e0(
    recipe: Recipe = None, eras: Eras = None, every: Every = 4, chunk: Chunk = 156, *, as_json: Json = False
) -> None:
    """
    Test whether past feature returns predict future ones.

    Also measures the gain of their momentum beside LightGBM: go or no-go for the history inputs of the network.
    """
    with needs_training_packages("experiment"):
        from bot.cli.research.e0 import run_e0
    answer(lambda: run_e0(recipe, eras=eras, every=every, chunk=chunk), as_json=as_json)


@evaluate.command()
def e1(
    recipe: Recipe = None, eras: Eras = None, every: Every = 4, chunk: Chunk = 156, *, as_json: Json = False
) -> None:
    """
    Measure the gain of each input of the network.

    Heads, stacked predictions and history are added one by one and compared, beside LightGBM.
    """
    with needs_training_packages("experiment"):
        from bot.cli.research.e1 import run_e1
    answer(lambda: run_e1(recipe, eras=eras, every=every, chunk=chunk), as_json=as_json)


@evaluate.command()
def importance(
    artifact: Annotated[
        str | None,
        typer.Option(
            help="Id of an artifact, or its beginning; default: the recipe's champion.",
            autocompletion=completion.artifacts,
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Recipe of the champion; default: the first slot's recipe.", autocompletion=completion.recipes
        ),
    ] = None,
    eras: Annotated[int, typer.Option(min=1, help="Newest labelled eras to measure on.")] = 26,
    rows: Annotated[int, typer.Option(min=0, help="Rows to explain, from either end of the newest era.")] = 2,
    *,
    as_json: Json = False,
) -> None:
    """
    Measure the importance of each input of an artifact's network.

    Covers feature groups and history by target and age, and explains single rows.
    """
    with needs_training_packages("experiment"):
        from bot.cli.research.importance import measure_importance
    answer(lambda: measure_importance(artifact, recipe, eras=eras, rows=rows), as_json=as_json)
