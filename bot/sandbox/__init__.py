"""
A tournament in a box: Numerai's API and storage on loopback, with generated data, a settable clock and planned faults.

It imports only ``tournament``, ``system`` and ``errors``; the bot reaches it only from the command line. Read
``demo``, ``server``, ``tournament``, ``schedule``, ``clock``, ``faults``, ``mutations``, ``referee``, and the package
``world``.
"""
