"""A plain multilayer perceptron: encoder and head, without mixing and history; the control that TSMixer-Ext must beat."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from bot.members.kinds.tsmixer import TSMixer, searched_training
from bot.members.member import Member
from bot.members.network.options import NetworkOptions
from bot.members.search import Choices

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

    def search(self, member: Member, choices: Choices) -> MlpOptions:
        """Return the options with another perceptron."""
        network: NetworkOptions = member.options.network
        widths = {"-".join(str(width) for width in one): one for one in _around(network.encoder)}
        own = next(name for name, one in widths.items() if one == network.encoder)
        return MlpOptions(
            network=replace(
                searched_training(network, member.label, choices),
                encoder=widths[choices.one_of("encoder", own, list(widths))],
                input_dropout=choices.between("input_dropout", network.input_dropout, 0.0, 0.5),
            )
        )


def _around(widths: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return half the widths, the widths and twice the widths."""
    return [tuple(max(width // 2, 1) for width in widths), widths, tuple(2 * width for width in widths)]


KIND = Mlp()
