"""Commands in odd surroundings: other programs' files and variables, odd files of the operator, another user's state."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bot.sandbox.tournament import DEMO_ACCOUNT
from tests.harness.installation import LIMIT_S, Installation
from tests.harness.outputs import ROOT, Played
from tests.harness.traps import set_traps

NOBODY = 65534
SOUND, REFUSED = "sound", "refused"
COMMANDS: Mapping[tuple[str, ...], int] = {
    ("submit", "--dry-run"): 0,
    ("submit",): 0,
    ("status",): 0,
    ("scores", "--offline"): 0,
    ("backup",): 0,
    ("verify",): 0,
    ("health",): 75,
}
"""Commands, and the exit code of each where nothing is odd; no daemon runs."""

LIGHT = (("status",), ("health",), ("submit",))
"""A command that reads no settings model, one for containers, and one that reads everything."""

Prepare = Callable[[Path], None]


@dataclass(frozen=True, kw_only=True)
class Case:
    """
    Odd surroundings.

    Attributes:
        name: What is odd.
        expected: ``sound`` where every command ends as without them, ``refused`` where each ends with 78 and one line.
        prepare: Makes the surroundings in the working folder.
        environment: Variables to set; ``None`` removes one. ``{root}`` stands for the working folder.
        words: Text of the refusal.
        commands: Commands to try.
    """

    name: str
    expected: str
    prepare: Prepare = lambda _root: None
    environment: Mapping[str, str | None] = field(default_factory=dict)
    words: str = ""
    commands: Sequence[tuple[str, ...]] = tuple(COMMANDS)


def _file(name: str, content: bytes) -> Prepare:
    def write(root: Path) -> None:
        (root / name).write_bytes(content)

    return write


def _folder(name: str) -> Prepare:
    return lambda root: (root / name).mkdir()


def _traps(root: Path) -> None:
    set_traps(root)


def _netrc(root: Path) -> None:
    (root / ".netrc").write_text("default login anonymous password me@example.com\n")
    (root / ".netrc").chmod(0o600)


def _lower(root: Path) -> None:
    """Leave the working folder as it is; the variables alone are odd."""


KEY = DEMO_ACCOUNT.secret_key
KEY_FILE = {"NUMERAI_SECRET_KEY": None, "NUMERAI_SECRET_KEY_FILE": "{root}/key"}
TOML = b"feature_set = 'medium'\n"
NEEDS_KEY = (("submit",), ("scores", "--offline"))

CASES = (
    Case(name="modules in the working folder", expected=SOUND, prepare=_traps),
    Case(name="PYTHONPATH of the working folder", expected=SOUND, environment={"PYTHONPATH": f"{ROOT}:/nonexistent:"}),
    Case(name="a netrc file", expected=SOUND, prepare=_netrc, environment={"HOME": "{root}"}, commands=(("submit",),)),
    Case(name="no HOME, no PATH", expected=SOUND, environment={"HOME": None, "PATH": ""}),
    Case(name="an ASCII terminal", expected=SOUND, environment={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}),
    Case(name="an absent folder for temporary files", expected=SOUND, environment={"TMPDIR": "/nonexistent"}),
    Case(
        name="empty variables",
        expected=SOUND,
        environment={
            "BOT_STATE_DIR": "",
            "BOT_ACCOUNTS": "",
            "BOT_HTTP_PORT": "",
            "BOT_SLOTS": "",
            "BOT_ALERT_URLS": " ",
        },
    ),
    Case(
        name="variables in lower case",
        expected=SOUND,
        environment={"BOT_STATE_DIR": None, "bot_state_dir": "state", "BOT_MODE": None, "bot_mode": "live"},
    ),
    Case(name="bot.toml with a byte order mark", expected=SOUND, prepare=_file("bot.toml", b"\xef\xbb\xbf" + TOML)),
    Case(
        name="a key with a byte order mark",
        expected=SOUND,
        prepare=_file("key", b"\xef\xbb\xbf" + KEY.encode() + b"\r\n"),
        environment=KEY_FILE,
    ),
    *(
        Case(
            name=f"{name} is set",
            expected=REFUSED,
            environment={name: "x"},
            words=f"did you mean {near}",
            commands=LIGHT,
        )
        for name, near in {
            "BOT_STATEDIR": "BOT_STATE_DIR",
            "bot_api_ur": "BOT_API_URL",
            "Bot_Modes": "BOT_MODE",
            "BOT_WEBHOOKTOKEN": "BOT_WEBHOOK_TOKEN",
        }.items()
    ),
    *(
        Case(name=f"bot.toml is {kind}", expected=REFUSED, prepare=prepare, words="bot.toml", commands=LIGHT)
        for kind, prepare in {
            "UTF-16": _file("bot.toml", TOML.decode().encode("utf-16")),
            "latin-1": _file("bot.toml", b"# caf\xe9\n"),
            "broken": _file("bot.toml", b"mode = \n"),
            "nested without an end": _file("bot.toml", b"a = " + b"[" * 9999),
            "with an unknown key": _file("bot.toml", b"featureset = 'medium'\n"),
            "a folder": _folder("bot.toml"),
            "full of zeros": _file("bot.toml", bytes(100)),
        }.items()
    ),
    *(
        Case(name=f"{name}={value}", expected=REFUSED, environment={name: value}, words=name, commands=(("submit",),))
        for name, value in {
            "BOT_ACCOUNTS": "{",
            "BOT_HTTP_PORT": "80a",
            "BOT_SLOTS": "mixer",
            "BOT_TICK_S": "nan",
            "BOT_TARGET": "target",
        }.items()
    ),
    *(
        Case(
            name=f"the key's file is {kind}",
            expected=REFUSED,
            prepare=prepare,
            environment=KEY_FILE,
            words="NUMERAI_SECRET_KEY",
            commands=NEEDS_KEY,
        )
        for kind, prepare in {
            "UTF-16": _file("key", KEY.encode("utf-16")),
            "latin-1": _file("key", KEY.encode() + b"\xe9"),
            "empty": _file("key", b"\n"),
            "a folder": _folder("key"),
            "with a zero": _file("key", KEY.encode() + b"\0"),
            "absent": _lower,
        }.items()
    ),
    Case(
        name="bot.toml in the state directory sends the key elsewhere",
        expected=REFUSED,
        prepare=_file("bot.toml", b"api_url = 'http://127.0.0.1:9/'\n"),
        environment={"BOT_API_URL": None, "BOT_STATE_DIR": "{root}"},
        words="api_url is not taken",
        commands=LIGHT,
    ),
)


def play(installation: Installation, cases: Sequence[Case] = CASES) -> Played:
    """Run the commands of each case; nothing is imported from the working folder, and no key is shown."""
    played = Played(name="environment")
    for case in cases:
        with _prepared(installation, case):
            for command in case.commands:
                label = f"{case.name}: bot {' '.join(command)}"
                done = run(installation, command, case.environment)
                _check(played, label, case, command, done)
                played.check(f"{label}: imports", (installation.root / "imported.txt").exists(), False)
    return played


def _check(
    played: Played, label: str, case: Case, command: tuple[str, ...], done: subprocess.CompletedProcess[str]
) -> None:
    shown = done.stdout + done.stderr
    right = COMMANDS.get(command, 0) if case.expected == SOUND else 78
    # The last lines say why, should the exit code be another one.
    why = "" if done.returncode == right else "; ".join(done.stderr.strip().splitlines()[-2:])
    played.check(label, (done.returncode, why), (right, ""))
    played.check(f"{label}: no traceback, no key", ("Traceback" in shown, KEY in shown), (False, False))
    if case.expected == REFUSED:
        errors = [line for line in done.stderr.splitlines() if line]
        played.check(f"{label}: one line", (len(errors), case.words in done.stderr), (1, True))


@contextmanager
def _prepared(installation: Installation, case: Case) -> Iterator[None]:
    """Make the surroundings of a case in the working folder, and remove them afterwards."""
    before = {path.name for path in installation.root.iterdir()}
    case.prepare(installation.root)
    yield
    for path in sorted(installation.root.rglob("*"), reverse=True):
        if path.relative_to(installation.root).parts[0] not in before:
            path.rmdir() if path.is_dir() else path.unlink()


def run(
    installation: Installation, command: Sequence[str], changes: Mapping[str, str | None], *, start: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a command of the bot in its folder, as the script `bot` starts it, with some variables changed."""
    variables = {**installation.environment, "PYTHONPATH": str(ROOT)} | changes
    return subprocess.run(
        [*start, sys.executable, "-P", "-m", "bot", *command],
        env={
            name: value.replace("{root}", str(installation.root))
            for name, value in variables.items()
            if value is not None
        },
        cwd=installation.root,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
        stdin=subprocess.DEVNULL,
    )


SETPRIV = shutil.which("setpriv")
WITHOUT_RIGHTS = (str(SETPRIV), "--inh-caps=-all", "--bounding-set=-all", "--")
"""Start of a command that root runs without the right to pass over owners and modes, as in a container."""


def can_be_another_user() -> bool:
    """Return whether this process can give files to another user, and give up its rights on them."""
    return os.geteuid() == 0 and SETPRIV is not None


def play_another_user(installation: Installation, modes: Sequence[int] = (0o755, 0o500, 0o000)) -> Played:
    """
    Run commands on a state directory, and with a key, of another user.

    A command that writes ends with 78 and names the owner; status shows what can be read, and health that no daemon runs.
    """
    played = Played(name="environment, another user")
    key = installation.root / "key"
    key.write_text(KEY)
    for path in (installation.state, *installation.state.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    for mode in modes:
        installation.state.chmod(mode)
        # Health has no daemon, or cannot read its heartbeat; scores also exports a file.
        codes = {("status",): 0 if mode == 0o755 else 78, ("health",): 75}
        for command in (
            ("submit",),
            ("run",),
            ("backup",),
            ("retrain",),
            ("status",),
            ("health",),
            ("scores", "--offline"),
        ):
            done = run(installation, command, {}, start=WITHOUT_RIGHTS)
            label = f"another user's state of mode {mode:o}: bot {' '.join(command)}"
            right = codes.get(command, 78)
            played.check(f"{label}: {done.returncode}, {done.stderr[-300:]}", done.returncode, right)
            played.check(f"{label}: no traceback", "Traceback" in done.stderr, False)
            if done.returncode == 78:
                played.check(
                    f"{label}: owner, {done.stderr}", f"uid {NOBODY}" in done.stderr or "nobody" in done.stderr, True
                )
    installation.state.chmod(0o755)
    os.chown(key, NOBODY, NOBODY)
    key.chmod(0o600)
    done = run(installation, ("submit",), KEY_FILE, start=WITHOUT_RIGHTS)
    played.check(f"another user's key: {done.stderr}", (done.returncode, "uid 0" in done.stderr), (78, True))
    return played
