"""Cores that a process may use, and the threads that libraries start."""

import json
import math
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.system import cores

ALLOWED = len(os.sched_getaffinity(0))


@pytest.fixture
def machine(tmp_path):
    """Return a function that lays out cgroups and returns the number of usable cores."""

    def lay_out(own, files):
        for name, text in files.items():
            path = tmp_path / "cgroups" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (tmp_path / "own").write_text(own)
        return cores.usable_cores(tmp_path / "cgroups", tmp_path / "own")

    return lay_out


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/\n", {"cpu.max": "50000 100000\n"}),
        ("0::/pod/box\n", {"pod/cpu.max": "50000 100000\n", "pod/box/cpu.max": "max 100000\n"}),
        ("1:cpu:/\n0::/\n", {"unified/cpu.max": "50000 100000\n"}),
        (
            "4:cpu,cpuacct:/docker/1\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "50000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
        ),
        ("4:cpu:/box\n", {"cpu/box/cpu.cfs_quota_us": "1000", "cpu/box/cpu.cfs_period_us": "100000"}),
    ],
    ids=["version 2", "a parent's", "version 2 beside 1", "version 1 in a container", "version 1"],
)
def test_a_quota_of_less_than_a_core_is_one_core(machine, own, files):
    """A quota counts wherever it is set: in the own cgroup or a parent, of either version."""
    assert machine(own, files) == 1


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("", {}),
        ("0::/\n", {"cpu.max": "max 100000\n"}),
        ("0::/\n", {"cpu.max": "\n"}),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}),
        ("5:memory:/box\n", {"memory/box/cpu.cfs_quota_us": "1", "memory/box/cpu.cfs_period_us": "100000"}),
    ],
    ids=["no cgroup", "no quota", "damaged", "no quota of version 1", "another controller"],
)
def test_without_a_quota_the_affinity_counts(machine, own, files):
    """Every core that the process is allowed to use counts where no quota is set."""
    assert machine(own, files) == ALLOWED


@given(quota=st.floats(0.01, 4096), count=st.integers(1, 4096))
def test_no_quota_takes_more_than_it_gives_or_less_than_a_core(tmp_path_factory, quota, count):
    """The cores are those of the quota, rounded up, within the affinity."""
    folder = tmp_path_factory.mktemp("cgroups")
    (folder / "cpu.max").write_text(f"{math.ceil(quota * 100_000)} 100000")
    (folder / "own").write_text("0::/")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda _process: set(range(count)))

        found = cores.usable_cores(folder, folder / "own")

    assert found == min(count, math.ceil(math.ceil(quota * 100_000) / 100_000))


def test_what_a_person_set_stays():
    """A number of threads that stands in the environment holds for all pools; nothing of it is replaced."""
    environment = {"OMP_NUM_THREADS": "7,2", "OMP_WAIT_POLICY": "ACTIVE", "POLARS_MAX_THREADS": "3"}

    cores.limit_threads(environment)

    assert environment["OMP_NUM_THREADS"] == "7,2"
    assert environment["OMP_WAIT_POLICY"] == "ACTIVE"
    assert environment["POLARS_MAX_THREADS"] == "3"
    assert environment["OPENBLAS_NUM_THREADS"] == "7"


def test_the_command_line_limits_the_pools_of_all_libraries(tmp_path):
    """A command with one allowed core has pools of one thread in torch, LightGBM, polars, pyarrow and numpy."""
    code = (
        "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); sys.argv = ['bot', '--version']\n"
        "import bot.cli.main\n"
        "from bot.cli import main\n"
        "try: main.main()\n"
        "except SystemExit: pass\n"
        "import json, torch, polars, pyarrow\n"
        "print(json.dumps([torch.get_num_threads(), polars.thread_pool_size(), pyarrow.cpu_count()]))\n"
        "print(json.dumps(bot.cli.main.os.environ['OMP_WAIT_POLICY']))\n"
    )
    pools = ("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_", "POLARS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(pools)}
    output = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    ).stdout

    assert [json.loads(line) for line in output.splitlines()[-2:]] == [[1, 1, 1], "PASSIVE"]
