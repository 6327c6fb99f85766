"""Unit tests reach nothing beyond this machine: no GitHub, no package index, no registry."""

import os
from collections.abc import Iterator

import pytest
from pytest_socket import _remove_restrictions, socket_allow_hosts


@pytest.fixture(autouse=True)
def loopback_only() -> Iterator[None]:
    """Let every connection to another host fail."""
    socket_allow_hosts(["127.0.0.1"], allow_unix_socket=True)
    yield
    _remove_restrictions()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let no settings of whoever runs the tests have a say; a test sets its own by what this returns."""
    for name in list(os.environ):
        if name.startswith(("REPO2HUB_", "JUPYTERHUB_")):
            monkeypatch.delenv(name)
    return monkeypatch
