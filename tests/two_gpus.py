"""A worker that preloads this has a machine with two GPUs."""

from sweeps.trials import gpus
from sweeps.trials.gpus import Gpus

gpus.gpus = lambda: Gpus(("GPU-a", "GPU-b"))
