"""The page of files: what lies in the state directory, checked against a real one by the tests."""

from fnmatch import fnmatch

OPENING = """# Files

## What you write

| file | content |
|---|---|
| `bot.toml` | [settings](settings.md), in the working folder |
| `recipes/NAME.toml` | [a recipe](recipes.md) of your own |
| `recipes/NAME/` | the files of a program that is a member of a recipe |
| `recipes/NAME.onnx`, `recipes/NAME.json` | a model of your own in ONNX, and its sidecar |
| `secrets/NUMERAI_PUBLIC_ID`, `secrets/NUMERAI_SECRET_KEY` | the two halves of the API key, if you keep them in files |

## What the bot writes

Everything is in the state directory, `BOT_STATE_DIR`. In a container it is the volume at `/data`.
Files are written beside their place and renamed, so a reader never meets half a file. There is no pickle among them.
"Keep" says what to back up: `must` cannot be made again, `may` costs hours to make again, `no` costs minutes.

| path below the state directory | content | keep |
|---|---|---|
"""

STATE = {
    "ledger.sqlite": ("rounds, submissions, alerts and live scores of the mode `live`", "must"),
    "ledger-dry-run.sqlite": ("the same of the mode `dry-run`", "no"),
    "ledger*.sqlite-*": ("parts of SQLite while the ledger is open", "must"),
    "backups/ledger*-*.sqlite": ("the newest 14 backups of each ledger", "must"),
    "artifacts/<id>/manifest.json": (
        "recipe, data version, scores, decision and sha256 of each file of an artifact",
        "must",
    ),
    "artifacts/<id>/evaluation.json": ("scores of every era of the judgement", "must"),
    "artifacts/<id>/*.onnx": ("networks; those with `judged-` have not seen the hold-out", "must"),
    "artifacts/<id>/*.txt": ("trees; those with `judged-` have not seen the hold-out", "must"),
    "artifacts/<id>/preprocess*.json": ("preprocessing of training, repeated on the live file", "must"),
    "artifacts/<id>/history.npz": ("factor history at the time of training", "must"),
    "artifacts/<id>/golden.npz": ("rows and scores that the artifact must reproduce when it is opened", "must"),
    "artifacts/<id>/marginals.npz": ("distributions of the features in training", "must"),
    "artifacts/champions/<recipe>.json": ("the recipe's champion and the champions before it", "must"),
    "artifacts/champions/.lock": ("lock of the pointers", "no"),
    "rounds/<n>/<version>/live.parquet": ("the round's live file; kept for 5 rounds", "no"),
    "rounds/<n>/<version>/*.parquet": ("the round's benchmark predictions", "no"),
    "rounds/<n>/<slot>/predictions.csv": ("the file that was sent; kept for 90 rounds", "may"),
    "rounds/<n>/<slot>/report.json": ("gates, scores of the members, exposure and seconds of the submission", "may"),
    "rounds/<n>/<slot>/likeness.json": ("correlation with Numerai's benchmark model", "may"),
    "rounds/<n>/log.jsonl": ("log lines of the round", "may"),
    "rounds-dry-run/<n>/": ("the same of dry runs", "no"),
    "reports/<id>.html": ("the page about an artifact", "may"),
    "reports/<id>.json": ("the figures behind the page", "may"),
    "reports/*.html": ("pages of comparisons", "may"),
    "data/<version>/*": (
        "files of the history as Numerai publishes them, `sync.json`, which records them, and `stored.bin`, which records what of them the era store holds",
        "no",
    ),
    "store/<version>-<digest>/*": ("the era store: the history as memory-mapped blocks", "no"),
    "history/<version>.npz": ("published factor history, the network's input", "no"),
    "fits/<digest>/*": ("finished fits, shared by recipes; 90 days and 8 GiB at most", "may"),
    "judged_scores/*.npz": ("scores of judged models; 1 GiB at most", "no"),
    "training/<recipe>/*": ("checkpoints of an interrupted training", "may"),
    "tuning/*": ("the study of `bot tune`", "may"),
    "experiments/*": ("figures of experiments", "may"),
    "starter/*": ("data of the recipe `starter`, until the first champion", "no"),
    "packs/*": ("packs of `bot pack`", "may"),
    "packs.json": ("which packs of the storage were looked at; without it each is looked at again", "no"),
    "exports/*": ("pickles of `bot export numerai-model`", "no"),
    "tracking/*": ("training curves of `BOT_TRACKER`", "no"),
    "signing.key": ("private key that signs packs", "must"),
    "speed.json": ("speeds of this machine, for plans; delete it to measure again", "no"),
    "pulse*.json": ("heartbeat of the daemon, read by `bot health`", "no"),
    "progress/*.json": ("progress of work that runs, read by `bot status` and the pages", "no"),
    "live_record.parquet": ("live scores as `bot scores` exports them", "no"),
    "*.lock": ("locks: one process of each kind", "no"),
    "*.holder": ("which process holds a lock", "no"),
}
"""Meaning and worth of every path of the state directory; ``<...>`` and ``*`` stand for any text."""


def pattern_of(path: str) -> str | None:
    """Return the first pattern of the table that *path*, relative to the state directory, belongs to."""
    for shown in STATE:
        pattern = "*".join(part.partition(">")[2] if ">" in part else part for part in shown.split("<"))
        if fnmatch(path, pattern + "*" if pattern.endswith("/") else pattern):
            return shown
    return None


def files_page() -> str:
    """Return the page of files."""
    return OPENING + "\n".join(f"| `{path}` | {about} | {keep} |" for path, (about, keep) in STATE.items()) + "\n"
