"""Settings of the unit tests: they need no process of their own and no flush to the disk."""

import os

import pytest


@pytest.fixture(autouse=True)
def no_flush_to_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip `fsync`, which took half the time of a fake sweep; a test marked `durable` keeps it."""
    if request.node.get_closest_marker("durable") is None:
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)
