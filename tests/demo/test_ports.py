"""Free ports: the preferred one, or another."""

import socket

from demo.ports import free_ports


def test_a_preferred_port_is_returned_if_it_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        [other] = free_ports(port)
        assert other != port
    assert free_ports(port) == [port]


def test_all_ports_differ() -> None:
    assert len(set(free_ports(0, 0, 0))) == 3
