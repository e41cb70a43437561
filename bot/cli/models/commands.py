"""
Commands about models: names, options and help.

A command imports its module when it is called, so that `--help` loads no library and works without the train extra.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bot.cli import completion
from bot.cli._groups import Grouped
from bot.cli.answer import answer
from bot.cli.extras import needs_packages, needs_training_packages

app = typer.Typer()
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

recipes = typer.Typer(cls=Grouped, help="List and show recipes.", invoke_without_command=True)
app.add_typer(recipes, name="recipes")

export = typer.Typer(cls=Grouped, help="Hand a model to another machine.", no_args_is_help=True)
app.add_typer(export, name="export")


@app.command()
def sync(*, as_json: Json = False) -> None:
    """Update data, era store and history of every data version in use."""
    with needs_training_packages("keep history"):
        from bot.cli.models.sync import sync_versions
    answer(sync_versions, as_json=as_json)


@app.command()
def retrain(
    recipe: Annotated[
        str | None,
        typer.Option(help="Recipe to train; default: every recipe in use.", autocompletion=completion.recipes),
    ] = None,
    data_version: Annotated[
        str | None,
        typer.Option(help="Train on this version; default: the champion's, or BOT_DATA_VERSION where that is newer."),
    ] = None,
    *,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only show the stages with rows, memory, disk and time; change nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """
    Sync, train and judge a challenger; promote it if it is better.

    A challenger is judged on eras that its training has not seen. Where no champion fills a slot yet, the small recipe
    `starter` is trained first, so that rounds are filled within minutes.
    """
    if sys.stderr.isatty():
        typer.echo("loading the training libraries", err=True)  # seconds
    with needs_training_packages("retrain"):
        if plan:
            from bot.cli.models.plan import plan_retrains

            return answer(lambda: plan_retrains(recipe, data_version), as_json=as_json)
        from bot.cli.models.retrain import retrain_recipes
    return answer(lambda: retrain_recipes(recipe, data_version), as_json=as_json)


@app.command()
def adopt(
    recipe: Annotated[
        str, typer.Argument(help="Recipe whose members need no training.", autocompletion=completion.recipes)
    ],
    data_version: Annotated[
        str | None, typer.Option(help="Data version of the live files; default: the champion's, or BOT_DATA_VERSION.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """
    Put models that were trained elsewhere into use.

    The members predict a past era and the newest live file; the table shows the result. They may have learned from any
    era, so nothing is judged: the artifact becomes champion. It holds the members' files as they are now.
    """
    with needs_training_packages("adopt"):
        from bot.cli.models.adopt import adopt_recipe
    answer(lambda: adopt_recipe(recipe, data_version), as_json=as_json)


@app.command()
def promote(
    artifact: Annotated[
        str, typer.Argument(help="Id of an artifact, or its beginning.", autocompletion=completion.artifacts)
    ],
    *,
    as_json: Json = False,
) -> None:
    """
    Make an artifact the champion of its recipe.

    It may be one that the promotion gate has kept back.
    """
    from bot.cli.models.champion import promote_artifact

    answer(lambda: promote_artifact(artifact), as_json=as_json)


@app.command()
def rollback(
    recipe: Annotated[
        str | None, typer.Option(help="Recipe; default: every recipe in use.", autocompletion=completion.recipes)
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Go back to the champion before the current one."""
    from bot.cli.models.champion import roll_back

    answer(lambda: roll_back(recipe), as_json=as_json)


@app.command()
def verify(*, as_json: Json = False) -> None:
    """Check every artifact's files against their recorded sha256."""
    from bot.cli.models.verify import verify_artifacts

    answer(verify_artifacts, as_json=as_json)


@app.command()
def pack(
    artifact: Annotated[
        str | None,
        typer.Argument(
            help="Id of an artifact, or its beginning; default: the champion of the first recipe in use that has one.",
            autocompletion=completion.artifacts,
        ),
    ] = None,
    *,
    output: Annotated[
        Path | None, typer.Option(help="File; default: packs/<artifact>.pack in the state directory.")
    ] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Publish it at BOT_ARTIFACTS_URL.")] = False,
    new_key: Annotated[bool, typer.Option("--new-key", help="Make the signing key and print its public half.")] = False,
    key: Annotated[
        Path | None,
        typer.Option(help="File of the signing key; default: BOT_SIGNING_KEY, or signing.key in the state."),
    ] = None,
    as_json: Json = False,
) -> None:
    """
    Write an artifact as one signed file for another machine.

    The file holds its evaluation and its judged members too. Another machine judges it on its own data with `bot unpack`.
    """
    with needs_packages("pack", extra="remote"):
        from bot.cli.models.pack import make_signing_key, pack_artifact
    if new_key:
        answer(lambda: make_signing_key(key), as_json=as_json)
    else:
        answer(lambda: pack_artifact(artifact, output=output, key=key, publish=publish), as_json=as_json)


@app.command()
def unpack(
    file: Annotated[Path | None, typer.Argument(help="File of `bot pack`.")] = None,
    *,
    latest: Annotated[bool, typer.Option("--latest", help="Look for new packs at BOT_ARTIFACTS_URL.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="With --latest: look again at packs that were refused.")
    ] = False,
    as_json: Json = False,
) -> None:
    """
    Judge another machine's artifact; promote it if it is better.

    It is judged on the data of this machine. Its signature must be that of a key in BOT_TRUSTED_KEYS.
    """
    if (file is None) != latest or (again and not latest):
        raise typer.BadParameter("name a FILE, or look at the storage with --latest [--again]")
    with needs_packages("unpack", extra="remote"):
        from bot.cli.models.unpack import unpack_file, unpack_latest
    answer(lambda: unpack_latest(again=again) if file is None else unpack_file(file), as_json=as_json)


@recipes.callback()
def _list(context: typer.Context, *, as_json: Json = False) -> None:
    """List recipes: members, memory, time of the last training, champion."""
    if context.invoked_subcommand is None:
        from bot.cli.models.recipes import list_recipes

        list_recipes(as_json=as_json)


@recipes.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of a recipe.", autocompletion=completion.recipes)],
    *,
    as_json: Json = False,
) -> None:
    """Print a recipe with every value, in the present form."""
    from bot.cli.models.recipes import show_recipe

    show_recipe(name, as_json=as_json)


@recipes.command("schema")
def _schema() -> None:
    """Print a JSON schema of recipe files for editors."""
    from bot.cli.models.recipes import print_schema

    print_schema()


@export.callback()
def _group() -> None:
    """Keep `export` a group while it has one command."""


@export.command()
def numerai_model(
    *,
    slot: Annotated[
        str | None,
        typer.Option(help="Model of your account that the pickle is meant for.", autocompletion=completion.slots),
    ] = None,
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
            help="Recipe of the champion; default: the first in use that has one.", autocompletion=completion.recipes
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The pickle; default: exports/<artifact>.pkl.")] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Run it under Numerai's limits and compare the ranks.")
    ] = True,
    python: Annotated[
        Path | None, typer.Option(help="Check with this interpreter's packages, not in a fresh environment.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="Account of the slot, of several in bot.toml.")] = None,
    upload: Annotated[
        bool, typer.Option("--upload", help="Upload the checked pickle and let --slot run it; needs BOT_MODE=live.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="With --upload: longest wait for Numerai's validation in minutes.")
    ] = 60.0,
    as_json: Json = False,
) -> None:
    """
    Pack a champion as a pickle that Numerai runs.

    For Numerai's Model Upload: models that must go on while the bot cannot run anywhere. Nothing is uploaded without
    --upload.
    """
    if upload and not slot:
        raise typer.BadParameter("--upload needs --slot NAME: the model that is to run the pickle")
    if upload and not check:
        raise typer.BadParameter("--upload uploads only what was checked: leave out --no-check")
    with needs_training_packages("export a model"):
        from bot.cli.models.export import export_pickle
    answer(
        lambda: export_pickle(
            slot=slot, artifact=artifact, recipe=recipe, output=output, check=check, python=python, account=account or None,
            upload=upload, wait_s=60 * wait,
        ),
        as_json=as_json,
    )  # fmt: skip
