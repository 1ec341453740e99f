"""A worker that preloads this module takes its machine for one with two GPUs."""

from sweeps.trials import gpus

gpus.visible = lambda: ("GPU-a", "GPU-b")
