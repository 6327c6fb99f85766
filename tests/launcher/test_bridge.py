"""Where containers reach their host, from what engines really say of their bridge; the engine is stood in for."""

from collections.abc import Callable
from types import SimpleNamespace

import docker
import pytest

from demo import hub
from repo2hub_launcher import bridge_address

# Docker 20.10 and later: before and after the engine's first restart.
NEW = {"Subnet": "172.17.0.0/16"}
RESTARTED = {"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}
OWN = {"Subnet": "10.20.0.0/24", "Gateway": "10.20.0.254"}


@pytest.mark.parametrize("asked", [bridge_address, hub.bridge_address])
@pytest.mark.parametrize(
    ("said", "address"), [(NEW, "172.17.0.1"), (RESTARTED, "172.17.0.1"), (OWN, "10.20.0.254")]
)
def test_the_bridges_address_is_known_on_an_engine_that_was_never_restarted_too(
    monkeypatch: pytest.MonkeyPatch, asked: Callable[[], str], said: dict[str, str], address: str
) -> None:
    network = SimpleNamespace(attrs={"IPAM": {"Config": [said]}})
    networks = SimpleNamespace(get={"bridge": network}.__getitem__)
    engine = SimpleNamespace(networks=networks, close=lambda: None)
    monkeypatch.setattr(docker, "from_env", lambda: engine)
    assert asked() == address
