"""One run again and again, each time with another interruption, and the proof that it held.

`bench` is the sandbox, `runs` are the reference runs, `boundaries` the moments at which one can be
interrupted, `interruptions` what happens there, `proof` what must be true afterwards.
"""

import pytest

# So that a proof that fails says what it found.
pytest.register_assert_rewrite("harness.proof", "harness.runs")
