"""How much the suites of this folder do: little in ``make test``, much in ``make soak``.

The environment sets the amounts, so a run can be as long as you like.
"""

import os

# Random orders of operations, for each pair of backends.
ORDERS = int(os.environ.get("INVARIANT_ORDERS", "12"))
# Operations of each of the clients that run at once, for each pair of backends.
OPERATIONS = int(os.environ.get("INVARIANT_OPERATIONS", "40"))
# How often the sidecar is killed, for each pair of backends.
KILLS = int(os.environ.get("INVARIANT_KILLS", "4"))
# What `make soak` adds is meant to differ from run to run.
RANDOM = os.environ.get("INVARIANT_RANDOM", "") == "yes"
# A test may take so many seconds.
LONGEST = 120 if not RANDOM else 3 * 60 * 60
