"""The pages of the reference by the names of their files, made from the code."""

from pathlib import Path

from bot import settings
from docs.generator.code import errors_page, events_page, metrics_page
from docs.generator.commands import commands_page
from docs.generator.files import files_page
from docs.generator.json_shapes import json_page
from docs.generator.recipes import recipes_page

FOLDER = Path(__file__).resolve().parents[1] / "reference"
NOTE = "<!-- Made from the code by `make docs`; changes by hand are lost. -->\n"

SETTINGS = """# Settings

Every setting is an environment variable or, in lower case without `BOT_`, a key of `bot.toml`. The environment wins.
Names of variables may have any case. An empty variable is as one that is not set.
Unknown `BOT_*` variables and unknown keys of `bot.toml` are refused.

A secret may come from a file: `<NAME>_FILE` names it, or a file of the secret's name lies
in `secrets/` beside `bot.toml` or in `/run/secrets`.

`api_url` decides where the API key is sent, and `trusted_keys` whose models are taken.
Neither is taken from a `bot.toml` in the state directory, which the trainer writes, nor from one that everybody may write.

Child processes import nothing from the working folder. They get the variables listed in `bot/system/child_environment.py`:
the API key only to submit, to read scores and for diagnostics; addresses of alerts and the tokens of webhook and control never; the
storage's URL and its library's variables (`AWS_*` and such) only to retrain and unpack.

```toml
# bot.toml
mode = "live"                  # the default, "dry-run", does everything except the upload
feature_set = "medium"         # a set of features.json
target = "target_ender_60"     # full name; the alias "target" is refused

[slots]
my_model = "standard"          # model of your account = recipe
```

"""


def pages() -> dict[str, str]:
    """Return the text of every generated page by its file's name."""
    made = {
        "settings.md": SETTINGS + settings.reference() + "\n",
        "commands.md": commands_page(),
        "recipes.md": recipes_page(),
        "exit-codes.md": errors_page(),
        "events.md": events_page(),
        "metrics.md": metrics_page(),
        "files.md": files_page(),
        "json.md": json_page(),
    }
    return {name: NOTE + text for name, text in made.items()}
