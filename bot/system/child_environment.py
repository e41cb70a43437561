"""
Environment and interpreter of child processes: what they need, and no secret that they do not need.

A child gets only variables of the lists below, never everything that stands in the environment of this process.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from bot.system.configuration.setting_sources import SECRETS, STORAGE

ISOLATED = (sys.executable, "-P")
"""Interpreter that imports nothing from the working folder: a ``numpy.py`` or ``bot.py`` there stays a mere file."""

NAMES = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR", "TEMP", "TMP"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
    | {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "CC", "CXX"}
    | {"PYTHONDONTWRITEBYTECODE", "PYTHONFAULTHANDLER", "PYTHONHASHSEED", "PYTHONUNBUFFERED", "PYTHONUTF8"}
    | {"PYTHONIOENCODING", "PYTHONWARNINGS"}
)
"""Variables that a child gets, in upper or lower case: the system's, proxies, certificates, and harmless ones of Python."""

PREFIXES = (
    *("BOT_", "LC_", "XDG_", "SSL_CERT_", "OPENSSL_", "LD_", "MALLOC_", "FAKETIME"),
    *("OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "BLIS_", "NUMEXPR_", "RAYON_", "POLARS_", "ARROW_", "ORT_"),
    *(
        "CUDA_",
        "NVIDIA_",
        "OCL_",
        "HIP_",
        "HSA_",
        "ROCR_",
        "NCCL_",
        "GLOO_",
        "TORCH",
        "PYTORCH_",
        "TRITON_",
        "MLFLOW_",
        "TENSORBOARD_",
    ),
)
"""
Beginnings of further variables that a child gets: settings, locale, the loader's, threads, devices and training tools.
"""

KEY = ("NUMERAI_PUBLIC_ID", "NUMERAI_SECRET_KEY")
"""Variables of the API key, which only a child gets that calls Numerai for an account."""

STORAGE_PREFIXES = ("AWS_", "GOOGLE_", "GCSFS_", "AZURE_STORAGE_", "FSSPEC_", "SSH_AUTH_SOCK")
"""Beginnings of variables that the libraries of a storage read; only a child gets them that publishes or fetches packs."""

_SECRET = frozenset(name for secret in SECRETS for name in (secret, f"{secret}_FILE"))
_KEY = frozenset(name for half in KEY for name in (half, f"{half}_FILE"))
_STORAGE = frozenset({STORAGE, f"{STORAGE}_FILE"})
_SEARCHED = ("PATH", "LD_LIBRARY_PATH")
"""Lists of folders in which an empty or relative entry means the working folder."""


def child_environment(*, with_key: bool = False, with_storage: bool = False) -> dict[str, str]:
    """
    Return the variables of a child process.

    Addresses of alerts and pings and the tokens of webhook and control are never among them, because only the daemon uses these.

    Args:
        with_key: Whether the API key is among them.
        with_storage: Whether the URL of the storage of packs and its library's variables are among them.
    """
    allowed = {
        name: value
        for name, value in os.environ.items()
        if _passes(name.upper(), with_key=with_key, with_storage=with_storage)
    }
    for name in _SEARCHED:
        if name in allowed:
            folders = allowed[name].split(os.pathsep)
            allowed[name] = os.pathsep.join(folder for folder in folders if Path(folder).is_absolute())
    if folders_to_import := import_path():
        allowed["PYTHONPATH"] = folders_to_import
    # Libraries start interpreters too, such as the compiler of torch: those do not import from the working folder either.
    return {**allowed, "PYTHONSAFEPATH": "1"}


def import_path() -> str:
    """
    Return the ``PYTHONPATH`` of an isolated interpreter that runs the same code as this one; empty where it needs none.

    It comes before the standard library, so only folders that this process runs code from are in it.
    """
    return os.pathsep.join(dict.fromkeys(_import_folders()))


def _passes(name: str, *, with_key: bool, with_storage: bool) -> bool:
    if name in _SECRET:
        return (with_key and name in _KEY) or (with_storage and name in _STORAGE)
    if with_storage and name.startswith(STORAGE_PREFIXES):
        return True
    return name in NAMES or name.startswith((*PREFIXES, *_preloaded()))


def _preloaded() -> Iterator[str]:
    """Yield the prefixes of variables that preloaded libraries read: ``libx.so.1`` reads ``X`` and ``X_...``."""
    for path in os.environ.get("LD_PRELOAD", "").replace(":", " ").split():
        if stem := Path(path).name.split(".")[0].removeprefix("lib"):
            yield stem.upper()


def _import_folders() -> Iterator[str]:
    """Yield the folders that a child must find on ``PYTHONPATH``: a source checkout's, and folders of packages in use."""
    own, standard = _own_folder(), str(Path(os.__file__).parent)
    if standard not in sys.path or own not in sys.path[sys.path.index(standard) :]:
        yield own
    files = [file for module in tuple(sys.modules.values()) if (file := getattr(module, "__file__", None))]
    for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        in_use = any(file.startswith(entry.rstrip("/") + "/") for file in files)
        if Path(entry).is_absolute() and in_use and os.path.realpath(entry) != _working_folder():
            yield entry


def _working_folder() -> str | None:
    try:
        return str(Path.cwd())
    except FileNotFoundError:  # it was deleted, and nothing can be imported from it
        return None


def _own_folder() -> str:
    """Return the folder that holds the package ``bot``."""
    return str(Path(__file__).resolve().parents[2])
