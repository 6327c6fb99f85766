"""Keep tests outside of tests/acceptance on this machine, and free of the settings of whoever runs them."""

import os
from collections.abc import Iterator

import pytest
from pytest_socket import _remove_restrictions, socket_allow_hosts


def _needs_the_machine(request: pytest.FixtureRequest) -> bool:
    """Tell whether a test is one of tests/acceptance, which use this machine's engine, caches and certificates."""
    return "acceptance" in request.path.parts


@pytest.fixture(autouse=True)
def loopback_only(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let every connection to another host fail."""
    if _needs_the_machine(request):
        yield
        return
    socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)
    yield
    _remove_restrictions()


@pytest.fixture(autouse=True)
def environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Remove all settings from the environment; a test sets its own by what this returns."""
    if not _needs_the_machine(request):
        for name in list(os.environ):
            if name.startswith(("REPO2HUB_", "JUPYTERHUB_")) and not name.startswith("REPO2HUB_TEST_"):
                monkeypatch.delenv(name)
    return monkeypatch
