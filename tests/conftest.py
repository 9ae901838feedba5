"""What holds for every test: one CPU thread, so that tests share a machine well and sums have one order."""

import torch

torch.set_num_threads(1)
