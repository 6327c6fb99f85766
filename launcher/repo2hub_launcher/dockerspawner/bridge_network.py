"""Where a hub has to listen so that containers on Docker's own network reach it."""

from contextlib import closing
from ipaddress import ip_network


def bridge_address() -> str:
    """Return this machine's address on the network that Docker calls "bridge", such as 172.17.0.1.

    An engine that was not restarted since its installation names only the subnet, whose first address it takes.
    Raises docker.errors.DockerException where no engine answers.
    """
    import docker  # noqa: PLC0415 -- comes with DockerSpawner, which not all hubs have

    with closing(docker.from_env()) as engine:
        config = engine.networks.get("bridge").attrs["IPAM"]["Config"][0]
    return str(config.get("Gateway") or next(ip_network(config["Subnet"]).hosts()))
