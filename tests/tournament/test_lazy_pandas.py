"""numerapi without pandas: the daemon never loads it, and whoever needs it finds it."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("then", "loaded"),
    [("", False), ("import numerapi; numerapi.base_api.pd.read_parquet", True), ("import pandas; pandas.Series", True)],
)
def test_pandas_is_loaded_by_whoever_needs_it_alone(then, loaded):
    """What the daemon is made of leaves pandas out; numerapi's own methods and everybody else get the real one."""
    script = f"import sys; from bot.daemon import process, wiring\n{then}\nprint(hasattr(sys.modules.get('pandas'), 'Series'))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == str(loaded)
