"""The length of property tests: short in ``make test``, long in ``make fuzz``."""

import os

# The long form takes so many times as many examples, and other ones in each run.
FACTOR = max(1, int(os.environ.get("FUZZ_FACTOR", "1")))
# One property may take so many seconds.
LONGEST = 120 if FACTOR == 1 else 900


def examples(usual: int) -> int:
    """Return how many examples a property is tried with that ``make test`` tries ``usual`` with."""
    return usual * FACTOR
