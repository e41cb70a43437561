"""Coverage of an era by the predictions of a reference."""

import numpy as np

from bot.scoring.coverage import if_covered


def test_predictions_of_too_few_rows_are_not_used():
    """Predictions are returned if they cover four fifths of the rows, and replaced by None otherwise."""
    most = np.array([1.0, 2.0, np.nan, 4.0, 5.0])

    assert if_covered(most) is most
    assert if_covered(np.where(np.arange(5) < 2, most, np.nan)) is None
    assert if_covered(None) is None
