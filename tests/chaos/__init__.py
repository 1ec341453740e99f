"""Sweeps that are killed, interrupted, moved and robbed of their store at random instants: is anything lost?"""
