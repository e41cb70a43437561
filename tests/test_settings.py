"""Unknown settings are refused; secrets stay hidden."""

import json
import os
import stat
import tomllib

import pytest

from bot.assembly import recipes_in_use
from bot.cli import completion
from bot.cli.paths import state_paths
from bot.errors import BadConfig
from bot.settings import Settings, interval_s, load_settings
from bot.system.configuration import secret_files, setting_sources
from bot.system.configuration.setting_places import place


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_defaults_do_not_upload():
    """Without any setting the bot runs dry."""
    settings = load_settings()

    assert settings.mode == "dry-run"
    assert settings.ledger_path.name == "ledger-dry-run.sqlite"


def test_each_mode_has_its_own_ledger(monkeypatch):
    """A dry run never counts as a submission of the live mode."""
    monkeypatch.setenv("BOT_MODE", "live")

    assert load_settings().ledger_path.name == "ledger.sqlite"


def test_unknown_environment_variable_names_its_neighbour(monkeypatch):
    """A misspelt variable is refused; the message names the nearest known one."""
    monkeypatch.setenv("BOT_STATEDIR", "elsewhere")

    with pytest.raises(BadConfig, match="BOT_STATEDIR is unknown; did you mean BOT_STATE_DIR"):
        load_settings()


def test_unknown_toml_key_is_refused(tmp_path):
    """A misspelt key of bot.toml is refused as well."""
    (tmp_path / "bot.toml").write_text('featureset = "all"\n')

    with pytest.raises(BadConfig, match="featureset"):
        load_settings()


def test_broken_toml_is_one_line(tmp_path):
    """A bot.toml that does not parse is one clear error."""
    (tmp_path / "bot.toml").write_text("mode = \n")

    with pytest.raises(BadConfig, match="not valid TOML"):
        load_settings()


def test_environment_wins_over_toml(tmp_path, monkeypatch):
    """A variable overrides bot.toml."""
    (tmp_path / "bot.toml").write_text('feature_set = "all"\n')
    monkeypatch.setenv("BOT_FEATURE_SET", "small")

    assert load_settings().feature_set == "small"


@pytest.mark.parametrize("version", ["5.4", "latest", "v5"])
def test_unreadable_data_version_is_refused(monkeypatch, version):
    """A data version that does not parse is refused."""
    monkeypatch.setenv("BOT_DATA_VERSION", version)

    with pytest.raises(BadConfig, match=r"BOT_DATA_VERSION: .* is no data version"):
        load_settings()


def test_the_alias_target_is_refused(monkeypatch):
    """The alias, whose meaning changes, is refused."""
    monkeypatch.setenv("BOT_TARGET", "target")

    with pytest.raises(BadConfig, match=r"BOT_TARGET.*alias"):
        load_settings()


def test_slots_read_from_one_line(monkeypatch):
    """Slots are written as name=recipe pairs."""
    monkeypatch.setenv("BOT_SLOTS", "mixer=standard, little = demo")

    assert load_settings().slots == {"mixer": "standard", "little": "demo"}


@pytest.mark.parametrize("value", ["mixer", "mixer=", "=demo", "mixer=nothing"])
def test_malformed_slots_are_refused(monkeypatch, value):
    """A slot without a known recipe is refused."""
    monkeypatch.setenv("BOT_SLOTS", value)

    with pytest.raises(BadConfig, match="BOT_SLOTS"):
        load_settings()


def test_secrets_come_from_files(tmp_path, monkeypatch):
    """A key in a file is read without its line end."""
    (tmp_path / "key").write_text("very-secret\n")
    monkeypatch.setenv("NUMERAI_SECRET_KEY_FILE", str(tmp_path / "key"))

    assert load_settings().secrets == ("very-secret",)


def test_missing_secret_file_is_named(tmp_path, monkeypatch):
    """A missing secret file is an error of the operator that names the variable."""
    monkeypatch.setenv("NUMERAI_SECRET_KEY_FILE", str(tmp_path / "absent"))

    with pytest.raises(BadConfig, match="NUMERAI_SECRET_KEY_FILE"):
        load_settings()


def test_secrets_never_show(monkeypatch):
    """Neither the representation of the settings nor an error contains a key."""
    monkeypatch.setenv("NUMERAI_PUBLIC_ID", "CANARYPUBLIC")
    monkeypatch.setenv("NUMERAI_SECRET_KEY", "CANARYSECRET")
    shown = repr(load_settings())
    monkeypatch.setenv("BOT_MODE", "sometimes")

    with pytest.raises(BadConfig) as caught:
        load_settings()

    assert "CANARY" not in shown + str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"), [("weekly", 604800), ("daily", 86400), ("off", None), ("90s", 90), ("6h", 21600)]
)
def test_retrain_schedule_reads_words_and_intervals(text, seconds):
    """The schedule is a word or an interval with its unit."""
    assert interval_s(text) == seconds


@pytest.mark.parametrize("text", ["", "often", "0s", "-5m", "h"])
def test_unreadable_retrain_schedule_is_refused(text):
    """Anything else is refused."""
    with pytest.raises(ValueError, match="weekly"):
        interval_s(text)


ACCOUNT = """
[accounts.second]
public_id_file = "second_id"
secret_key_file = "second_secret"
slots = { mixer = "demo" }
"""


def test_without_tables_there_is_one_account_without_a_name(monkeypatch):
    """The only account has the key and the slots of the settings, and needs no option."""
    monkeypatch.setenv("NUMERAI_PUBLIC_ID", "ID")
    monkeypatch.setenv("BOT_SLOTS", "mixer=demo")
    settings = load_settings()
    (account,) = settings.accounts_in_use

    assert (account.name, account.slots, account.options) == (None, {"mixer": "demo"}, ())
    assert account.key.public_id.get_secret_value() == "ID"
    assert settings.of_account(account.name) is settings


def test_key_of_an_account_is_read_when_it_is_needed(tmp_path):
    """A table gives an account its name, slots and key; the key's files may change at any time."""
    (tmp_path / "bot.toml").write_text(ACCOUNT)
    settings = load_settings()
    for name in ("id", "secret"):
        (tmp_path / f"second_{name}").write_text(f"{name}\n")
    chosen = settings.of_account("second")
    (account,) = settings.accounts_in_use

    assert (account.name, account.options) == ("second", ("--account", "second"))
    assert chosen.slots == {"mixer": "demo"}
    assert chosen.secrets == ("id", "secret")


def test_slots_beside_accounts_are_no_recipes_in_use(tmp_path):
    """The recipes of every account are in use, of one account its own alone, and those of an ignored [slots] never."""
    (tmp_path / "bot.toml").write_text(
        '[slots]\nstale = "contribution"\n' + ACCOUNT + ACCOUNT.replace("second", "third").replace("demo", "standard")
    )
    for name in ("id", "secret"):
        (tmp_path / f"third_{name}").write_text(name)
    settings = load_settings()
    of_one = settings.of_account("third")

    assert recipes_in_use(settings) == ("demo", "standard")
    assert recipes_in_use(of_one) == ("standard",)
    assert of_one.slot_names == {"mixer"}


def test_accounts_of_a_variable_are_those_of_the_file(tmp_path, monkeypatch):
    """Commands that read no settings model know the slots and accounts of BOT_ACCOUNTS, too; what is no JSON is none."""
    (tmp_path / "bot.toml").write_text(ACCOUNT + ACCOUNT.replace("second", "third").replace("mixer", "other"))
    of_file = state_paths(), completion.accounts("")
    text = json.dumps(tomllib.loads((tmp_path / "bot.toml").read_text())["accounts"])
    (tmp_path / "bot.toml").write_text('[slots]\nstale = "demo"\n')
    monkeypatch.setenv("BOT_ACCOUNTS", text)
    of_variable, known = (state_paths(), completion.accounts("")), load_settings().slot_names
    monkeypatch.setenv("BOT_ACCOUNTS", "{")

    assert of_variable == of_file
    assert of_file[0].slot_names == known == {"mixer", "other"}
    assert of_file[1] == ["second", "third"]
    assert state_paths().slots == {"stale": "demo"}


@pytest.mark.parametrize("content", [b"one\ntwo", b"a b", "KÉY".encode(), "KEY".encode("utf-16"), b""])
def test_an_odd_key_of_an_account_names_the_account(tmp_path, content):
    """A key that no header can carry is refused when it is read, by the name of its table."""
    (tmp_path / "bot.toml").write_text(ACCOUNT)
    (tmp_path / "second_id").write_bytes(b"ID")
    (tmp_path / "second_secret").write_bytes(content)

    with pytest.raises(BadConfig, match=r"accounts\.second"):
        load_settings().of_account("second")


def test_incomplete_account_names_its_key(tmp_path):
    """The message names the table's key that is missing."""
    (tmp_path / "bot.toml").write_text(ACCOUNT.replace("secret_key_file", "secret_file"))

    with pytest.raises(BadConfig, match=r"\[accounts\] in bot.toml: second\.secret_key_file"):
        load_settings()


def test_unknown_account_is_refused():
    """The message lists the accounts there are."""
    with pytest.raises(BadConfig, match="accounts: none"):
        load_settings().of_account("second")


def test_a_mistyped_recipe_of_a_slot_is_answered_by_its_neighbour(monkeypatch):
    """The message has the recipe that was probably meant, and all of them."""
    monkeypatch.setenv("BOT_SLOTS", "mine=standrd")

    with pytest.raises(
        BadConfig, match=r"BOT_SLOTS: unknown recipe 'standrd'; did you mean standard\?; known recipes: "
    ):
        load_settings()


def test_unknown_recipe_of_an_account_is_refused(tmp_path):
    """A slot of an account needs a known recipe, as any other slot does."""
    (tmp_path / "bot.toml").write_text(ACCOUNT.replace('"demo"', '"nothing"'))

    with pytest.raises(BadConfig, match=r"\[accounts\] in bot.toml: unknown recipe 'nothing'"):
        load_settings()


def test_light_commands_know_every_setting():
    """The names that `bot status` and `bot health` know are those of the settings model."""
    assert {*setting_sources.NAMES, *setting_sources.KEY_NAMES} == set(Settings.model_fields)


@pytest.mark.parametrize("name", ["BOT_STATE_DIR", "bot_state_dir", "Bot_State_Dir"])
def test_names_of_variables_have_any_case_for_every_command(monkeypatch, name):
    """A variable in lower case means the same for the settings and for `bot status`."""
    monkeypatch.setenv(name, "elsewhere")

    assert str(load_settings().state_dir) == str(state_paths().state_dir) == "elsewhere"


@pytest.mark.parametrize(
    "name", ["BOT_STATE_DIR", "BOT_API_URL", "BOT_ACCOUNTS", "BOT_HTTP_PORT", "BOT_MODE", "bot_tick_s", "BOT_SLOTS"]
)
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_variable_is_as_none(monkeypatch, name, value):
    """An empty variable leaves the default in place, for every command."""
    monkeypatch.setenv(name, value)

    assert load_settings() == Settings()
    assert (str(state_paths().state_dir), state_paths().ledger.name) == ("state", "ledger-dry-run.sqlite")


def test_an_empty_variable_leaves_the_file_in_place(tmp_path, monkeypatch):
    """A key of bot.toml counts where the variable is empty."""
    (tmp_path / "bot.toml").write_text('mode = "live"\n')
    monkeypatch.setenv("BOT_MODE", "")

    assert load_settings().mode == "live"
    assert state_paths().ledger.name == "ledger.sqlite"


def test_an_empty_key_leaves_the_mounted_one_in_place(tmp_path, monkeypatch):
    """A key that a container mounts counts where the variable is empty."""
    monkeypatch.setattr(secret_files, "SECRET_FOLDER", tmp_path)
    (tmp_path / "NUMERAI_SECRET_KEY").write_text("MOUNTED\n")
    monkeypatch.setenv("NUMERAI_SECRET_KEY", "")

    assert load_settings().secrets == ("MOUNTED",)


def test_a_variable_that_is_set_twice_is_refused(monkeypatch):
    """Two spellings with different values leave no doubt to resolve."""
    monkeypatch.setenv("BOT_MODE", "live")
    monkeypatch.setenv("bot_mode", "dry-run")

    with pytest.raises(BadConfig, match="BOT_MODE is set twice"):
        load_settings()


@pytest.mark.parametrize("read", [load_settings, state_paths])
@pytest.mark.parametrize(
    ("name", "near"),
    [("BOT_STATEDIR", "BOT_STATE_DIR"), ("bot_api_ur", "BOT_API_URL"), ("BOT_PING_URLS", "BOT_PING_URL")],
)
def test_every_command_refuses_an_unknown_variable(monkeypatch, read, name, near):
    """A misspelt variable of any case is refused by the settings and by `bot status`, with the likely name."""
    monkeypatch.setenv(name, "x")

    with pytest.raises(BadConfig, match=f"{name} is unknown; did you mean {near}"):
        read()


@pytest.mark.parametrize("read", [load_settings, state_paths])
@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_a_byte_order_mark_is_dropped(tmp_path, read, mark):
    """A bot.toml that an editor saved with a mark reads as one without."""
    (tmp_path / "bot.toml").write_bytes(mark + b'state_dir = "elsewhere"\n')

    assert str(read().state_dir) == "elsewhere"


@pytest.mark.parametrize("read", [load_settings, state_paths])
@pytest.mark.parametrize(
    "content",
    [
        "mode = 'live'\n".encode("utf-16"),
        "mode = 'live'\n".encode("utf-16-le"),
        b"# caf\xe9\n",
        b"mode = \n",
        b"mode = 'live'\nmode = 'live'\n",
        b"a = " + b"[" * 5000,
        b"tick_s = " + b"9" * 5000,
        b"state_dir = 'a\\u0000b'\n".replace(b"'", b'"'),
        b"\0",
    ],
)
def test_an_unreadable_file_of_settings_is_one_line(tmp_path, read, content):
    """Other encodings and broken TOML are refused in one line that names the file."""
    (tmp_path / "bot.toml").write_bytes(content)

    with pytest.raises(BadConfig, match=r"bot\.toml") as caught:
        read()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [load_settings, state_paths])
def test_a_folder_in_place_of_the_file_is_refused(tmp_path, read):
    """A folder, which container tools make for a file that is not there, is named."""
    (tmp_path / "bot.toml").mkdir()

    with pytest.raises(BadConfig, match="is a folder"):
        read()


@pytest.mark.parametrize("value", ["{", "[]", "5", '{"a": 1}', "[" * 100_000])
def test_unreadable_accounts_are_one_line(monkeypatch, value):
    """BOT_ACCOUNTS that is no object of tables is refused by its name."""
    monkeypatch.setenv("BOT_ACCOUNTS", value)

    with pytest.raises(BadConfig, match="BOT_ACCOUNTS") as caught:
        load_settings()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("slots = 5", r"\[slots\] in bot.toml"),
        ("slots = ['a']", r"\[slots\] in bot.toml"),
        ("[slots]\na = 5", r"\[slots\] in bot.toml"),
        ("[slots.a]\nb = 'demo'", r"\[slots\] in bot.toml"),
        ("http_port = 'x'", "http_port in bot.toml: "),
        ("http_port = 70000", "http_port in bot.toml: "),
        ("state_dir = 5", "state_dir in bot.toml: "),
        ("mode = 2020-01-01", "mode in bot.toml: "),
        ("accounts = 'x'", r"\[accounts\] in bot.toml"),
    ],
)
def test_odd_values_of_the_file_are_one_line(tmp_path, line, name):
    """A value of a wrong type or range is refused by the key of the file."""
    (tmp_path / "bot.toml").write_text(f"{line}\n")

    with pytest.raises(BadConfig, match=name) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


@pytest.fixture
def key_file(tmp_path, monkeypatch):
    """Return a function that writes the file of the secret half."""
    path = tmp_path / "key"
    monkeypatch.setenv("NUMERAI_SECRET_KEY_FILE", str(path))
    return path.write_bytes


def test_a_byte_order_mark_is_no_part_of_the_key(key_file):
    """A key that an editor saved with a mark is the key."""
    key_file(b"\xef\xbb\xbfVERYSECRET\r\n")

    assert load_settings().secrets == ("VERYSECRET",)


@pytest.mark.parametrize(
    "content",
    ["KEY".encode("utf-16"), "KEY".encode("utf-16-be"), b"KEY\xe9", b"KEY\0", b"KEY\nKEY", b"", b"\n", "KÉY".encode()],
)
def test_an_odd_key_file_is_refused_without_its_content(key_file, content):
    """Other encodings, several lines and an empty file are refused by the setting's name; the key is not shown."""
    key_file(content)

    with pytest.raises(BadConfig, match="NUMERAI_SECRET_KEY") as caught:
        load_settings()
    assert "\n" not in str(caught.value)
    assert "KEYÉ" not in str(caught.value)


def test_a_mounted_folder_in_place_of_a_secret_is_named(tmp_path, monkeypatch):
    """A folder in place of a mounted secret is refused, not taken for a key that is absent."""
    monkeypatch.setattr(secret_files, "SECRET_FOLDER", tmp_path)
    (tmp_path / "NUMERAI_PUBLIC_ID").mkdir()

    with pytest.raises(BadConfig, match="NUMERAI_PUBLIC_ID is a folder"):
        load_settings()


def test_an_address_of_the_key_is_not_taken_from_the_state_directory(tmp_path, monkeypatch):
    """A bot.toml that the trainer can write does not decide where the key is sent; a variable does."""
    (tmp_path / "bot.toml").write_text('api_url = "http://elsewhere"\n')
    monkeypatch.setenv("BOT_STATE_DIR", str(tmp_path))
    for read in (load_settings, state_paths):
        with pytest.raises(BadConfig, match="api_url is not taken"):
            read()
    monkeypatch.setenv("BOT_API_URL", "http://here")

    assert load_settings().api_url == "http://here"


@pytest.mark.parametrize("shared", ["file", "folder"])
def test_an_address_of_the_key_is_not_taken_from_a_file_that_all_may_write(tmp_path, shared):
    """A bot.toml that everybody may write or replace does not decide where the key is sent."""
    (tmp_path / "bot.toml").write_text('api_url = "http://elsewhere"\n')
    assert load_settings().api_url == "http://elsewhere"
    path = tmp_path / "bot.toml" if shared == "file" else tmp_path
    path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IWOTH)

    with pytest.raises(BadConfig, match="api_url is not taken"):
        load_settings()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to another user")
@pytest.mark.parametrize(("theirs", "refused"), [((), False), (("bot.toml",), True), ((".",), True)])
def test_an_address_of_the_key_is_not_taken_from_a_file_of_another_user(tmp_path, monkeypatch, theirs, refused):
    """In a folder such as /tmp anybody can put a bot.toml, or a folder with one, before a person begins to work there."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    folder = shared / "work" if theirs == (".",) else shared
    folder.mkdir(exist_ok=True)
    (folder / "bot.toml").write_text('api_url = "http://elsewhere"\n')
    for name in theirs:
        os.chown(folder / name, 12345, -1)
    monkeypatch.chdir(folder)

    if refused:
        with pytest.raises(BadConfig, match="api_url is not taken"):
            load_settings()
    else:
        assert load_settings().api_url == "http://elsewhere"


def test_a_trusted_key_of_a_file_that_others_write_is_refused(tmp_path):
    """A trainer that writes the state directory cannot add its own key."""
    (tmp_path / "bot.toml").write_text(f'state_dir = "."\ntrusted_keys = "{"A" * 43}="\n')

    with pytest.raises(BadConfig, match="its trusted_keys is not taken: it decides whose models are taken"):
        load_settings()


@pytest.mark.parametrize("value", ["abc", "A" * 44, f"{'A' * 43}= x"])
def test_a_malformed_public_key_is_refused(monkeypatch, value):
    """A public key that cannot be one is named before anything is fetched."""
    monkeypatch.setenv("BOT_TRUSTED_KEYS", value)

    with pytest.raises(BadConfig, match="BOT_TRUSTED_KEYS: must be public keys of `bot pack --new-key`"):
        load_settings()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("max_exposure = 2", "max_exposure in bot.toml: must be at most 1"),
        ("max_exposure = 0", "must be greater than 0"),
        ('max_exposure = "much"', "must be a number"),
        ("min_drift = 1", "must be less than 1"),
        ("http_port = -1", "must be at least 0"),
        ("min_rows = 1.5", "must be a whole number"),
        ('starter = "maybe"', "must be true or false"),
        ("slots = 5", "must be a table"),
        ("[slots]\na = 5", "a: must be text in quotes"),
    ],
)
def test_a_refused_value_is_explained_in_plain_words(tmp_path, line, reason):
    """The line says what the value must be, in words of no library."""
    (tmp_path / "bot.toml").write_text(f"{line}\n")

    with pytest.raises(BadConfig) as refused:
        load_settings()

    assert str(refused.value).endswith(reason)


def test_the_password_of_the_storage_is_a_secret(monkeypatch):
    """Of the storage's URL, only the credentials are hidden."""
    monkeypatch.setenv("BOT_ARTIFACTS_URL", "sftp://trainer:CANARYSTORAGE@host/packs")
    settings = load_settings()

    assert set(settings.secrets) == {"trainer:CANARYSTORAGE", "CANARYSTORAGE"}
    assert "CANARYSTORAGE" not in repr(settings)
    assert {"CANARYSTORAGE", "trainer:CANARYSTORAGE"} <= set(secret_files.secrets_of_environment())
    assert "packs" not in secret_files.secrets_of_environment()


def test_secrets_beside_the_file_are_read(tmp_path, monkeypatch):
    """A file of a secret's name in `secrets` holds it; a variable takes precedence."""
    (tmp_path / "secrets").mkdir()
    for name in ("NUMERAI_PUBLIC_ID", "NUMERAI_SECRET_KEY"):
        (tmp_path / "secrets" / name).write_text(f"{name[8:]}\n")
    monkeypatch.setenv("NUMERAI_PUBLIC_ID", "VARIABLE")

    assert load_settings().secrets == ("VARIABLE", "SECRET_KEY")


@pytest.mark.parametrize("state", ["", "other"])
def test_secrets_that_others_write_are_refused(tmp_path, monkeypatch, state):
    """A secret in the state directory, or in a file that all may write, is not taken: the trainer could plant it."""
    (tmp_path / "secrets").mkdir()
    planted = tmp_path / "secrets" / "NUMERAI_PUBLIC_ID"
    planted.write_text("PLANTED")
    planted.chmod(0o666 if state else 0o600)
    monkeypatch.setenv("BOT_STATE_DIR", str(tmp_path / state))

    with pytest.raises(BadConfig, match="can be written by others") as refused:
        load_settings()
    assert "PLANTED" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "file", "expected"),
    [
        ("", "", "BOT_MODE"),
        ("dry-run", 'mode = "live"', "BOT_MODE"),
        ("", 'mode = "live"', "mode in bot.toml"),
        ("", "threads = 1", "mode in bot.toml"),
    ],
)
def test_a_setting_is_named_by_the_place_that_decides_it(tmp_path, monkeypatch, variable, file, expected):
    """A variable that is set comes first, then the file where it sets anything."""
    monkeypatch.setenv("BOT_MODE", variable)
    (tmp_path / "bot.toml").write_text(f"{file}\n")

    assert str(place("mode")) == expected


@pytest.mark.parametrize(
    ("variable", "file", "expected"),
    [
        ("", "", "the default, which BOT_STATE_DIR changes"),
        ("", "threads = 1", "the default, which state_dir in bot.toml changes"),
        ("", 'state_dir = "here"', "set by state_dir in bot.toml"),
        ("there", 'state_dir = "here"', "set by BOT_STATE_DIR"),
    ],
)
def test_a_default_is_not_said_to_be_set(tmp_path, monkeypatch, variable, file, expected):
    """The origin of a value is the variable or the key that sets it, and the default where none does."""
    monkeypatch.setenv("BOT_STATE_DIR", variable)
    (tmp_path / "bot.toml").write_text(f"{file}\n")

    assert place("state_dir").origin == expected


def test_a_secret_is_named_by_its_file(tmp_path, monkeypatch):
    """The place of a secret is the file that holds it, and the variable that names the file."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "BOT_ALERT_URLS").write_text("x")

    assert str(place("alert_urls")) == "secrets/BOT_ALERT_URLS"
    monkeypatch.setenv("BOT_ALERT_URLS_FILE", "/elsewhere")
    assert str(place("alert_urls")) == "/elsewhere of BOT_ALERT_URLS_FILE"
