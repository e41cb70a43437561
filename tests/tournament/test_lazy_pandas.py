"""numerapi is imported without pandas, which is imported when it is needed."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("then", "loaded"),
    [("", False), ("import numerapi; numerapi.base_api.pd.read_parquet", True), ("import pandas; pandas.Series", True)],
)
def test_pandas_is_imported_only_when_it_is_needed(then, loaded):
    """The daemon's modules do not import pandas; numerapi's methods and other modules get the real one."""
    script = f"import sys; from bot.daemon import process, wiring\n{then}\nprint(hasattr(sys.modules.get('pandas'), 'Series'))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == str(loaded)
