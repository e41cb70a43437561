"""
How many cores this process may use, and the variables that bring the thread pools of all libraries to that number.

Libraries count the cores of the machine. A container of half a core then gets a thread for every core of its host, and each
waits for the others; idle threads that spin burn the time that the working ones need. Libraries read these variables when they
load, so :func:`limit_threads` comes before every import of one.
"""

import math
import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")

COUNT = "OMP_NUM_THREADS"
"""Variable of OpenMP (torch, LightGBM, xgboost), which pyarrow reads too; a person or ``torchrun`` may set it."""

FOLLOWERS = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
"""Variables of other pools: numpy, MKL, numexpr and polars."""

WAITING = {
    "OMP_WAIT_POLICY": "PASSIVE",
    # GNU's runtime takes its own variable first, Intel's and LLVM's only theirs.
    "GOMP_SPINCOUNT": "0",
    "KMP_BLOCKTIME": "0",
    # A power of two, in cycles; numpy's threads spin for 2^26 of them otherwise.
    "OPENBLAS_THREAD_TIMEOUT": "4",
    # A pool inside a thread of another one has one thread.
    "OMP_MAX_ACTIVE_LEVELS": "1",
}
"""Variables with which idle threads sleep at once, and pools do not multiply."""

KEPT_PRODUCTS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16"}
"""
Matrix products that oneDNN keeps compiled; it would keep 1,024.

torch computes products in bfloat16 by oneDNN, which compiles one for every number of rows. Eras have different numbers of
rows, so 40 eras of 3,000 rows left a training process of 2.3 GiB; with 16 products it has 1.4 GiB and takes no more time.
"""


def allowed_cores(cgroups: Path = CGROUPS, own: Path = OWN) -> float:
    """
    Return the cores that this process may use: those of its affinity, within the quota of its cgroup, such as .5.

    Args:
        cgroups: Folder in which cgroups of version 2, or the controllers of version 1, are mounted.
        own: File that names the cgroups of this process.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([allowed, *_quotas(cgroups, own)])


def usable_cores(cgroups: Path = CGROUPS, own: Path = OWN) -> int:
    """
    Return the number of threads that use up :func:`allowed_cores`, at least 1; a core and a half take two.

    Args:
        cgroups: See :func:`allowed_cores`.
        own: See :func:`allowed_cores`.
    """
    return max(1, math.ceil(allowed_cores(cgroups, own)))


def limit_threads(environment: MutableMapping[str, str]) -> None:
    """Set the variables of all thread pools, and of kept products, in *environment*, except those that it has."""
    # A daemon's child inherits them from the daemon, whose cores are its own.
    count = environment.setdefault(COUNT, str(usable_cores()))
    # OpenMP takes a list, one number for each level of nesting.
    outer = count.split(",")[0].strip()
    for name, value in {**dict.fromkeys(FOLLOWERS, outer), **WAITING, **KEPT_PRODUCTS}.items():
        environment.setdefault(name, value)


def _quotas(cgroups: Path, own: Path) -> Iterator[float]:
    """Yield the quota of every cgroup that holds this process and has one, in cores."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux, or `/proc` is not mounted
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            mounts, read = (cgroups, cgroups / "unified"), _quota_2
        elif "cpu" in controllers.split(","):
            mounts, read = (cgroups / controllers, cgroups / "cpu"), _quota_1
        else:
            continue
        # Inside a container the path may be that of the host, while the mount begins at the container's own cgroup.
        within = Path(path.lstrip("/"))
        for folder in dict.fromkeys(mount / part for mount in mounts for part in (within, *within.parents)):
            try:
                yield from read(folder)
            except (OSError, ValueError):
                continue


def _quota_2(folder: Path) -> Iterator[float]:
    quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
    if quota != "max":
        yield int(quota) / int(period)


def _quota_1(folder: Path) -> Iterator[float]:
    quota = int((folder / "cpu.cfs_quota_us").read_text(encoding="ascii"))
    if quota > 0:
        yield quota / int((folder / "cpu.cfs_period_us").read_text(encoding="ascii"))
