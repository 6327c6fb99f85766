"""The address on which a hub must listen so that containers on Docker's default network reach it."""

from contextlib import closing
from ipaddress import ip_network


def bridge_address() -> str:
    """Return this machine's address on the network that Docker calls "bridge", such as 172.17.0.1.

    An engine that was not restarted since its installation reports only the subnet; its address is the first of
    that. Raises docker.errors.DockerException if no engine answers.
    """
    import docker  # noqa: PLC0415 -- installed with DockerSpawner, which not all hubs have

    with closing(docker.from_env()) as engine:
        config = engine.networks.get("bridge").attrs["IPAM"]["Config"][0]
    return str(config.get("Gateway") or next(ip_network(config["Subnet"]).hosts()))
