"""
Numerai's tournament: its columns, rounds and slots, and the client of its API.

Only this package imports numerapi. It imports ``system``. Read ``columns``, ``rounds``, ``slots``, ``retries``, ``client``,
``transport``, ``responses``, ``_answers``, ``_reply``, ``_deadline``.
"""
