"""
Networks as members.

Options (:mod:`~bot.members.network.options`), configuration and loop made from them (:mod:`~bot.members.network.setup`),
the fit of every seed (:mod:`~bot.members.network.fit`), trees that a network is stacked on
(:mod:`~bot.members.network.stacking`), and fits by several processes (:mod:`~bot.members.network.team`).
"""
