"""A worker that preloads this module takes its machine for one with two GPUs."""

from sweeps.trials import gpus
from sweeps.trials.gpus import Gpus

gpus.gpus = lambda: Gpus(("GPU-a", "GPU-b"))
