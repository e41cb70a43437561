"""
Commands of every day: names, options and help.

A command imports its module when it is called, so that `--help` loads no library.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from bot.cli import completion
from bot.cli._groups import Grouped
from bot.cli.answer import Answer, answer, show
from bot.cli.extras import needs_packages

app = typer.Typer()
alert = typer.Typer(cls=Grouped, no_args_is_help=True, help="Try the alerts.")
app.add_typer(alert, name="alert")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Account = Annotated[
    str | None, typer.Option(help="One of several accounts in bot.toml.", autocompletion=completion.accounts)
]


@app.command()
def init(
    *,
    slots: Annotated[str | None, typer.Option(help="Models to fill, as `name=recipe,name=recipe`.")] = None,
    feature_set: Annotated[str | None, typer.Option(help="small, medium or all.")] = None,
    live: Annotated[bool | None, typer.Option("--live/--dry-run", help="Upload, or do everything else.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the bot.toml that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a bot.toml from a few answers."""
    from bot.cli.setup.init import write_settings

    answer(lambda: write_settings(slots=slots, feature_set=feature_set, live=live, force=force), as_json=as_json)


@app.command()
def doctor(
    *,
    as_json: Json = False,
    fix: Annotated[
        bool,
        typer.Option("--fix", help="First repair what is safe: modes of key files, missing folders, left-over files."),
    ] = False,
) -> None:
    """Check everything that a round needs; print causes and fixes."""
    from bot.cli.everyday.doctor import examine_everything

    raise typer.Exit(examine_everything(as_json=as_json, fix=fix))


@app.command()
def run(
    *,
    trainer: Annotated[
        bool,
        typer.Option("--trainer", help="Only sync and retrain, without a key, beside a daemon that submits."),
    ] = False,
) -> None:
    """Submit every round as it opens and do all jobs, until stopped."""
    from bot.cli.everyday.run import run_daemon

    run_daemon(trainer=trainer)


@app.command()
def submit(
    round_: Annotated[str, typer.Option("--round", help="`latest`, or the number of the open round.")] = "latest",
    slot: Annotated[
        str | None,
        typer.Option(
            help="One of the account's models; default: every configured slot.", autocompletion=completion.slots
        ),
    ] = None,
    account: Account = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do everything but the upload, whatever BOT_MODE is set to.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a confirmed submission, or one that the bot did not make.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Submit the open round and confirm it, or report why not."""
    if round_ != "latest" and not (round_.isascii() and round_.isdigit()):
        raise typer.BadParameter(f"{round_!r} is neither latest nor a number", param_hint="--round")

    from bot.cli.everyday.submit import submit_round

    submit_round(round_, slot=slot, account=account or None, dry_run=dry_run, force=force, as_json=as_json)


@app.command()
def status(
    round_: Annotated[
        str | None,
        typer.Argument(
            metavar="ROUND",
            help="Number of a round, or latest: show everything that is kept of it.",
            autocompletion=completion.rounds,
        ),
    ] = None,
    *,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Print again every two seconds, until stopped.")] = False,
) -> None:
    """Show rounds, champions, jobs and problems; uses no network."""
    from bot.cli.everyday.status import show_status

    show_status(round_, as_json=as_json, watch=watch)


@app.command()
def pause(
    slot: Annotated[
        str | None,
        typer.Argument(metavar="SLOT", help="Default: every slot.", autocompletion=completion.slots),
    ] = None,
    *,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="End of the pause: 2026-12-24, '2026-12-24 18:00', 6h, 2d or 1w.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Upload nothing for a slot until a time, or until `bot resume`."""
    from bot.cli.everyday import control

    show(control.pause(slot or None, end=until), as_json=as_json)


@app.command()
def resume(
    slot: Annotated[
        str | None,
        typer.Argument(metavar="SLOT", help="Default: every pause.", autocompletion=completion.slots),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """End a pause; the open round is filled at once."""
    from bot.cli.everyday import control

    show(control.resume(slot or None), as_json=as_json)


@app.command()
def retry(*, as_json: Json = False) -> None:
    """Let the running bot try the open round again now."""
    from bot.cli.everyday import control

    show(control.retry(), as_json=as_json)


@alert.command("test")
def alert_test(*, as_json: Json = False) -> None:
    """Send a test message to every address of BOT_ALERT_URLS."""
    from bot.cli.everyday.alert import send_alert_test

    sent, code = send_alert_test()
    show(sent, as_json=as_json)
    raise typer.Exit(code)


@app.command()
def scores(
    account: Account = None,
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Show the scores kept here; use no network.")] = False,
    as_json: Json = False,
) -> None:
    """
    Fetch and show live scores, and export them as parquet.

    They stand beside the scores that the artifacts had on the hold-out, and beside Numerai's benchmark.
    """
    from bot.cli.everyday.scores import show_scores

    answer(lambda: show_scores(account or None, offline=offline), as_json=as_json)


@app.command()
def health(
    *,
    trainer: Annotated[bool, typer.Option("--trainer", help="Check `bot run --trainer` instead.")] = False,
    as_json: Json = False,
) -> None:
    """Check the daemon: exit code 0 if well, 75 with reasons if not."""
    from bot.cli.everyday.health import find_problems

    problems = find_problems(trainer=trainer)
    for problem in problems:
        typer.echo(problem, err=True)
    lines = () if problems else ("healthy",)
    show(Answer(lines=lines, content={"healthy": not problems, "problems": problems}), as_json=as_json)
    if problems:
        raise typer.Exit(75)


@app.command()
def backup(*, as_json: Json = False) -> None:
    """
    Back up the ledger and delete files of old rounds.

    `bot run` does it daily.
    """
    from bot.cli.everyday.backup import back_up

    show(back_up(), as_json=as_json)


@app.command()
def demo(
    keep: Annotated[Path | None, typer.Option(help="Keep world and state in this folder.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Play one round in an embedded tournament: no key, no network."""
    with needs_packages("play the demo", extra="train,sandbox"):
        from bot.sandbox.demo import play

    answer(lambda: Answer(content=play(keep)), as_json=as_json)


@app.command()
def sandbox(
    datasets: Annotated[
        Path | None, typer.Option(help="Serve the files of this folder, such as v5.3/live.parquet, as the round's.")
    ] = None,
    world: Annotated[Path, typer.Option(help="Folder of the generated world; made when absent.")] = Path(
        "sandbox-state"
    ),
    size: Annotated[str, typer.Option(help="Size of a new world: tiny, small or full.")] = "tiny",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on.")] = 8008,
    every_s: Annotated[float, typer.Option(help="Seconds from one round's opening to the next.")] = 60.0,
    window_s: Annotated[float, typer.Option(help="Seconds a round stays open.")] = 50.0,
    host: Annotated[str, typer.Option(help="Address to listen on; the default is this machine only.")] = "127.0.0.1",
    models: Annotated[str, typer.Option(help="Names of the account's models, separated by commas.")] = "sandbox_mixer",
    faults: Annotated[Path | None, typer.Option(help="JSON plan of faults to inject: seed, share, faults.")] = None,
    history: Annotated[
        Path | None, typer.Option(help="File to append every effect and fault to, for checks afterwards.")
    ] = None,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print address and settings as JSON once it listens.")
    ] = False,
) -> None:
    """Serve a stand-in tournament for the bot and for numerapi."""
    with needs_packages("serve the sandbox", extra="sandbox"):
        from bot.sandbox.demo import serve, show_key

    show_key()

    def announce(about: dict[str, Any]) -> None:
        lines = [f"tournament at {about['url']}, record at {about['record']}"]
        lines += [f"export {name}='{value}'" for name, value in about["settings"].items()]
        lines += [
            "# Every terminal of the bot needs the key and BOT_API_URL.",
            "# The other lines are a small set-up in place of a bot.toml; leave them out where `bot init` writes one.",
        ]
        show(Answer(lines=tuple(lines), content=about), as_json=as_json)

    serve(
        datasets=datasets,
        world=world,
        size=size,
        port=port,
        every_s=every_s,
        window_s=window_s,
        host=host,
        models=models,
        faults=faults,
        history=history,
        announce=announce,
    )
