"""
The command group `bot data`: the synced history for other programs.

Read ``commands``, ``export``.
"""
