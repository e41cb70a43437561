"""Comparison of ranks between the artifact and its pickle."""

import numpy as np
import pytest

from bot.errors import GateFailed
from bot.hosted._environment import HostedRun
from bot.hosted.export import check_agreement


def ranked(values):
    ids = tuple(f"n{number}" for number in range(len(values)))
    return ids, HostedRun(ids=ids, predictions=np.asarray(values), seconds=1.0, peak_bytes=1)


def test_neighbours_may_change_places_and_no_more():
    """A swap of two neighbours among a thousand rows passes; a row that moves further, or other rows, are refused."""
    even = np.arange(1, 1001) / 1001
    ids, ran = ranked(even)
    swapped, jumped = even.copy(), even.copy()
    swapped[[500, 501]] = swapped[[501, 500]]
    jumped[:10] = np.roll(jumped[:10], 1)
    agreement = check_agreement(ids, swapped, ran)

    assert (agreement.moved, agreement.furthest) == (2, 1.0)
    with pytest.raises(GateFailed, match="10 of 1000 rows moved, up to 9 places"):
        check_agreement(ids, jumped, ran)
    with pytest.raises(GateFailed, match="not the 1000 of the live file"):
        check_agreement(ids[::-1], even, ran)
