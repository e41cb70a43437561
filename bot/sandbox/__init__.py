"""
A tournament in a box: Numerai's API and storage on loopback, with generated data, a clock and planned faults.

It imports only ``tournament``, ``system`` and ``errors``; the bot reaches it only from the command line. Read
``server``, ``tournament``, ``schedule``, ``clock``, ``faults``, ``demo``.
"""
