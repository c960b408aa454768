"""Settings of every test: one thread per process, because several run side by side."""

import torch

torch.set_num_threads(1)
