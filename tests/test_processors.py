import os

import pytest

from nmt.processors import num_processors

pytestmark = pytest.mark.no_tensors


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_only_the_processors_of_this_process_are_counted() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert num_processors() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert num_processors() == len(allowed)
