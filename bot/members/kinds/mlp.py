"""A plain multilayer perceptron: encoder and head, without mixing and history; the control that TSMixer-Ext must beat."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from bot.members.kinds.tsmixer import TSMixer
from bot.members.member import Member
from bot.members.network.options import NetworkOptions

DEFAULTS = NetworkOptions(
    mixing="mlp",
    head="score",
    lookback=0,
    history_targets=(),
    encoder=(1024, 512, 256),
    loss="pearson",
    epochs=6,
    learning_rate=2e-3,
    seeds=3,
)
"""
Size and schedule of a study of October 2026 with 50 runs ("nn_arch", v5.3, medium): 1024-512-256, correlation within the era
as the loss, learning rate .002, six epochs, three seeds.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpOptions:
    """
    Options of a perceptron.

    Attributes:
        network: Size and training schedule. Its mixing stays ``mlp``.
    """

    network: NetworkOptions = field(default_factory=lambda: DEFAULTS)


class Mlp(TSMixer):
    """The kind ``mlp``: a network that is fitted, exported and scored as a TSMixer-Ext is."""

    options = MlpOptions

    def problems(self, member: Member) -> Iterator[str]:
        """Yield a line for each option that cannot be used."""
        yield from super().problems(member)
        if member.options.network.mixing != "mlp":
            yield f"network.mixing = {member.options.network.mixing!r}: take kind = 'tsmixer'"


KIND = Mlp()
