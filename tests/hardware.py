"""Marks of tests that need what not every machine computes."""

import pytest
import torch

from nmt.device import bf16_failure, int8_failure

_CPU = torch.device("cpu")

needs_bf16 = pytest.mark.skipif(bf16_failure(_CPU) is not None, reason=f"no bf16 here: {bf16_failure(_CPU)}")
needs_int8 = pytest.mark.skipif(int8_failure(_CPU) is not None, reason=f"no int8 here: {int8_failure(_CPU)}")
