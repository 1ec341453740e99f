"""Searches simulated on recorded curves: hundreds of whole sweeps in minutes, whose workers train nothing.

Of this project the real driver, oracles and stopping rules run; only the trial is a row of a table, and the clock is
that of the recording. Other tools are asked for trials, and told of their epochs, by their own interfaces.
"""
