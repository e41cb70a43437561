"""A person's own ONNX file, trained anywhere: a sidecar names its features and their coding."""

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bot.errors import BadConfig, RefuseToSubmit
from bot.features.preprocess import Preprocess
from bot.members.fitting import Facts, FitJob
from bot.members.limits import Limit, out_of_range
from bot.members.member import Member
from bot.members.registry import Kind, Needs, Source
from bot.members.rows import EraRows, Scores
from bot.system.files import sha256_of
from models.inference.own_model import LARGEST_BYTES, LONGEST_S, OwnModel, Sidecar, examine

FILE, SIDECAR = ".onnx", ".json"
"""Suffixes of the model's files."""

FOLDER = Path("recipes")
"""Folder of the recipes; a file is relative to it."""

LARGEST_SIDECAR = 4 << 20
"""Largest sidecar: the names of 3,555 features take 200 KB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxOptions:
    """
    Options of an ONNX file.

    Attributes:
        file: Path of the file below ``recipes``, or an absolute one; empty takes ``NAME.onnx`` of the member's name. The
            sidecar lies beside it and ends in ``.json``.
        time_s: Most seconds for the rows of a round.
    """

    file: str = ""
    time_s: float = LONGEST_S

    def path(self, name: str) -> Path:
        """Return the path of the file of a member with this *name*."""
        return FOLDER / (self.file or f"{name}{FILE}")


class OwnMember:
    """
    A loaded file.

    Args:
        source: The file and its sidecar.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file cannot be used, or needs a feature that the preprocessing does not make.
    """

    def __init__(self, source: Source) -> None:
        self._name, self._preprocess = source.unit.owner.name, source.preprocess
        self._time_s: float = source.unit.owner.options.time_s
        self.path = source.path(FILE)
        sidecar = Sidecar.from_json(source.path(SIDECAR).read_text(encoding="utf-8"))
        self.columns = positions(sidecar, source.preprocess)
        self.model = OwnModel(self.path, sidecar, threads=source.threads)

    def score(self, rows: EraRows) -> Mapping[str, Scores]:
        """
        Return the score of each row.

        Raises:
            RefuseToSubmit: The file gives no score for a row, or takes too long.
        """
        left_s = self._time_s if rows.files is None else min(self._time_s, rows.files.deadline - time.monotonic())
        codes = np.ascontiguousarray(rows.prepared(self._preprocess).features[:, self.columns])
        try:
            return {self._name: self.model.predict(codes, seconds=left_s)}
        except ValueError as error:
            raise RefuseToSubmit(f"member {self._name}: {error}") from None


class Onnx(Kind):
    """The kind ``onnx``."""

    options = OnnxOptions
    version = 1

    def problems(self, member: Member) -> Iterator[str]:
        """Yield a line for each option that cannot be used."""
        options: OnnxOptions = member.options
        yield from out_of_range(options, {"time_s": Limit(low=1, high=600)})
        if "\0" in options.file or ".." in Path(options.file).parts:
            yield f"file = {options.file!r} must not lead upwards; write an absolute path"
        elif options.file and Path(options.file).suffix != FILE:
            yield f"file = {options.file!r} must end in {FILE}"
        if member.label != "target":
            yield f"label = {member.label!r}: the file learns nothing here; remove the key"

    def needs(self, member: Member) -> Needs:  # noqa: ARG002 - all members of this kind need the same
        """Return that it needs no training here."""
        return Needs(training=False, elsewhere=True, hosted="it is scored by onnxruntime, which they lack")

    def outside(self, member: Member) -> str:
        """Return the digests of both files; empty where one is missing, which :meth:`fit` refuses."""
        file = member.options.path(member.name)
        found = (file, file.with_suffix(SIDECAR))
        return repr([sha256_of(path) for path in found]) if all(path.is_file() for path in found) else ""

    def fit(self, job: FitJob) -> Facts:
        """
        Copy the files, and check them; a later change of them has no effect on the artifact.

        Raises:
            BadConfig: A file is missing or cannot be used; the message names the reason.
        """
        owner = job.unit.owner
        file: Path = owner.options.path(owner.name)
        copies: dict[str, str] = {}
        for suffix, largest in ((SIDECAR, LARGEST_SIDECAR), (FILE, LARGEST_BYTES)):
            path = file.with_suffix(suffix)
            # Also refuses a folder and a pipe, and a file too large for the artifact.
            if not path.is_file() or path.stat().st_size > largest:
                raise BadConfig(f"members.{owner.name}: {path} must be a file of at most {largest >> 20} MiB")
            for folder in job.blocks:
                shutil.copyfile(path, folder / f"{owner.name}{suffix}")
            copies[path.name] = sha256_of(path)
        folder = next(iter(job.blocks))
        try:
            sidecar = Sidecar.from_json((folder / f"{owner.name}{SIDECAR}").read_text(encoding="utf-8"))
            positions(sidecar, job.data.manifest)
            seconds = examine(OwnModel(folder / f"{owner.name}{FILE}", sidecar))
        except ValueError as error:
            raise BadConfig(f"members.{owner.name}: {error}") from None
        return {"files": copies, "seconds": round(seconds, 3)}

    def load(self, source: Source) -> OwnMember:
        """Load the file."""
        return OwnMember(source)


def positions(sidecar: Sidecar, preprocess: Preprocess) -> list[int]:
    """
    Return the position of each of the sidecar's features.

    Raises:
        ValueError: A feature is not among those of the preprocessing, or missing values have no code of their own there.
    """
    known = {name: index for index, name in enumerate(preprocess.features)}
    absent = [name for name in sidecar.features if name not in known]
    if absent:
        raise ValueError(
            f"{len(absent)} features of the sidecar, such as {absent[0]}, are not in the member's feature set; give it a"
            ' feature_set that has them, such as "all"'
        )
    if sidecar.missing is not None and preprocess.missing != "category":
        raise ValueError(
            'the sidecar has a number for missing values, but the recipe fills them; set missing = "category"'
        )
    return [known[name] for name in sidecar.features]


KIND = Onnx()
