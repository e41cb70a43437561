"""A person's own program: it reads a round's files and writes predictions. The bot never loads anything of it."""

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.errors import CommandFailed
from bot.members.fitting import Facts, FitJob
from bot.members.limits import Limit, out_of_range
from bot.members.member import Member
from bot.members.program.bounded_run import Limits
from bot.members.program.command_run import Era, run_command
from bot.members.program.program_files import digests_of, pack
from bot.members.registry import Kind, Needs, Source
from bot.members.rows import EraRows, Scores

FILE = ".tar"
"""Suffix of the file that holds the program's files."""

FOLDER = Path("recipes")
"""Folder of the recipes; the folder of a program is relative to it."""

LIMITS = {"time_s": Limit(low=1, high=600), "memory_mib": Limit(low=16, high=1 << 20)}
"""Ranges of the options. A scoring ends after 600 s in any case (:mod:`bot.submission._turns`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOptions:
    """
    Options of a program.

    Attributes:
        command: Program and arguments, such as ``["python", "predict.py"]``. It runs in a fresh folder with the program's
            files and the round's. ``python`` is the bot's own interpreter; name another by its path.
        folder: Folder of the program's files below ``recipes``, or an absolute path; empty takes the member's name.
        time_s: Most seconds of a run.
        memory_mib: Most memory of all its processes.
    """

    command: tuple[str, ...] = ()
    folder: str = ""
    time_s: float = 300.0
    memory_mib: int = 4096

    def path(self, name: str) -> Path:
        """Return the folder of the files of a member with this *name*."""
        return FOLDER / (self.folder or name)


class CommandModel:
    """
    A program ready to run.

    Args:
        source: The program's files.

    Raises:
        FileNotFoundError: They are missing.
    """

    def __init__(self, source: Source) -> None:
        self._name, self._options = source.unit.owner.name, source.unit.owner.options
        self._files = source.path(FILE)
        if not self._files.is_file():
            raise FileNotFoundError(f"{self._files} is missing")

    def score(self, rows: EraRows) -> Mapping[str, Scores]:
        """
        Run the program on a round's files; rows without files have no score.

        Raises:
            CommandFailed: It failed, or there is no time for it.
        """
        files = rows.files
        if files is None:
            return {}
        options: CommandOptions = self._options
        left_s = files.deadline - time.monotonic()
        if left_s < 1:
            raise CommandFailed(f"member {self._name}: no time is left for its command; make the commands faster")
        limits = Limits(time_s=min(options.time_s, left_s), memory_mib=options.memory_mib)
        era = Era(ids=files.ids, live=files.live, benchmark=files.benchmark)
        run = run_command(options.command, self._files, era, name=self._name, state_dir=files.state_dir, limits=limits)
        return {self._name: run.predictions}


class Command(Kind):
    """The kind ``command``."""

    options = CommandOptions
    version = 1

    def problems(self, member: Member) -> Iterator[str]:
        """Yield a line for each option that cannot be used."""
        options: CommandOptions = member.options
        yield from out_of_range(options, LIMITS)
        if not options.command or not options.command[0]:
            yield 'command must name a program, such as ["python", "predict.py"]'
        if any("\0" in word for word in (*options.command, options.folder)):
            yield "command and folder must not hold a NUL"
        for key, value in (("target", member.target), ("feature_set", member.feature_set)):
            if value is not None:
                yield f"{key} = {value!r}: a program reads the whole live file; remove the key"
        if member.label != "target":
            yield f"label = {member.label!r}: a program learns nothing here; remove the key"
        if ".." in Path(options.folder).parts:
            yield f"folder = {options.folder!r} must not lead upwards; write an absolute path"

    def needs(self, member: Member) -> Needs:  # noqa: ARG002 - all members of this kind need the same
        """Return that it needs no training here, and that it reads the round's files itself."""
        return Needs(training=False, files=True, elsewhere=True, hosted="it is a program of this machine")

    def outside(self, member: Member) -> str:
        """Return the digests of the program's files."""
        return repr(sorted(digests_of(member.options.path(member.name)).items()))

    def fit(self, job: FitJob) -> Facts:
        """Pack the program's files; a later change in its folder has no effect on the artifact."""
        owner = job.unit.owner
        first, *others = job.blocks
        digests = pack(owner.options.path(owner.name), first / f"{owner.name}{FILE}")
        for folder in others:
            shutil.copyfile(first / f"{owner.name}{FILE}", folder / f"{owner.name}{FILE}")
        return {"files": digests}

    def load(self, source: Source) -> CommandModel:
        """Check that the program's files are there."""
        return CommandModel(source)


KIND = Command()
