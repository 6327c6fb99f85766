"""The address of the host on the bridge network, from what engines really report."""

from types import SimpleNamespace

import docker
import pytest

from repo2hub_launcher import bridge_address

# Docker 20.10 and later, before and after the first restart of the engine.
NEW = {"Subnet": "172.17.0.0/16"}
RESTARTED = {"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}
OWN = {"Subnet": "10.20.0.0/24", "Gateway": "10.20.0.254"}


@pytest.mark.parametrize(
    ("config", "address"), [(NEW, "172.17.0.1"), (RESTARTED, "172.17.0.1"), (OWN, "10.20.0.254")]
)
def test_the_address_is_known_before_and_after_the_first_restart_of_an_engine(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, str], address: str
) -> None:
    network = SimpleNamespace(attrs={"IPAM": {"Config": [config]}})
    networks = SimpleNamespace(get={"bridge": network}.__getitem__)
    engine = SimpleNamespace(networks=networks, close=lambda: None)
    monkeypatch.setattr(docker, "from_env", lambda: engine)
    assert bridge_address() == address
