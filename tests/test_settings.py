"""Unknown settings are refused; secrets stay hidden."""

import pytest

from bot.errors import BadConfig
from bot.settings import interval_s, load_settings


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


@pytest.mark.parametrize("version", ["5.4", "latest", "v5", ""])
def test_unreadable_data_version_is_refused(monkeypatch, version):
    """A data version that does not parse is refused."""
    monkeypatch.setenv("BOT_DATA_VERSION", version)

    with pytest.raises(BadConfig, match=r"BOT_DATA_VERSION: String should match pattern"):
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


def test_incomplete_account_names_its_key(tmp_path):
    """The message names the table's key that is missing."""
    (tmp_path / "bot.toml").write_text(ACCOUNT.replace("secret_key_file", "secret_file"))

    with pytest.raises(BadConfig, match=r"BOT_ACCOUNTS: second\.secret_key_file"):
        load_settings()


def test_unknown_account_is_refused():
    """The message lists the accounts there are."""
    with pytest.raises(BadConfig, match="accounts: none"):
        load_settings().of_account("second")


def test_unknown_recipe_of_an_account_is_refused(tmp_path):
    """A slot of an account needs a known recipe, as any other slot does."""
    (tmp_path / "bot.toml").write_text(ACCOUNT.replace('"demo"', '"nothing"'))

    with pytest.raises(BadConfig, match="BOT_ACCOUNTS: unknown recipe 'nothing'"):
        load_settings()
