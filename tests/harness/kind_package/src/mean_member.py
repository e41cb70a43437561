"""A kind of members from another package: the mean of the features that rose with the target."""

import json
from dataclasses import dataclass

import numpy as np

from bot.members.registry import Kind


@dataclass(frozen=True, kw_only=True)
class MeanOptions:
    """
    Options of the mean.

    Attributes:
        features: Features to take, those with the largest mean correlation with the label.
    """

    features: int = 10


class MeanModel:
    """Signs of the chosen features."""

    def __init__(self, source):
        self._name, self._preprocess = source.unit.owner.name, source.preprocess
        self._signs = np.array(json.loads(source.path(".json").read_text()))

    def score(self, rows):
        return {self._name: (rows.prepared(self._preprocess).features - 2.0) @ self._signs}


class Mean(Kind):
    """The kind ``mean``."""

    options = MeanOptions

    def problems(self, member):
        if member.options.features < 1:
            yield "features must be at least 1"

    def fit(self, job):
        owner = job.unit.owner
        for folder, positions in job.blocks.items():
            signs = self._signs(job.data, positions, owner)
            (folder / f"{owner.name}.json").write_text(json.dumps(signs.tolist()))
        return {"features": owner.options.features}

    def load(self, source):
        return MeanModel(source)

    def _signs(self, data, positions, owner):
        total = np.zeros(len(data.manifest.features))
        for position in positions:
            label = data.label(position, owner.target)
            known = np.isfinite(label)
            centred = data.prepared(position).features[known] - 2.0
            total += centred.T @ (label[known] - label[known].mean())
        signs = np.sign(total)
        signs[np.argsort(-np.abs(total))[owner.options.features :]] = 0
        return signs


KIND = Mean()
