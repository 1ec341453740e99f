"""A worker that preloads this has a machine with two GPUs."""

from sweeps import devices
from sweeps.devices import Gpus

devices.gpus = lambda: Gpus(("GPU-a", "GPU-b"))
