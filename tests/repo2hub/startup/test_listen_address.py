"""The address of the web process, and ports that cannot be used."""

import socket

import pytest

from repo2hub.output.errors import CommandFailed
from repo2hub.startup.listen_address import drop_unset, require_free_port, service_address
from tests.support.registry import free_port
from webhook.settings import WebSettings


def test_the_address_has_the_base_path() -> None:
    settings = WebSettings(host="127.0.0.1", port=9000, base_url="/services/binder/")
    assert service_address(settings) == "http://127.0.0.1:9000/services/binder/"


def test_a_port_in_use_is_reported_with_the_option_that_changes_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CommandFailed, match=rf"127.0.0.1:{port}: it is already in use.*--port"):
            require_free_port(WebSettings(port=port))


def test_a_free_port_is_accepted() -> None:
    require_free_port(WebSettings(port=free_port()))


def test_options_that_are_not_set_are_dropped() -> None:
    assert drop_unset({"host": None, "port": 0}) == {"port": 0}
