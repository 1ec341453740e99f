"""Recorded learning curves of whole grids of configurations, on which searches are simulated.

`<task>.npz` has a run for each configuration of the task's grid, and a second one, with another seed, for every fourth
or fifth: `values` (configurations, hyperparameters), `configuration` (runs,), `curves` (runs, epochs, columns), `names`
of the hyperparameters and `columns`. All trials of a task ran all its epochs.
"""
