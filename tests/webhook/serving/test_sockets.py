"""Where the server listens."""

import os
import socket

import pytest

from base.settings import SettingsError
from webhook.serving import sockets
from webhook.settings import WebSettings


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("[::1]", "[::1]")]
)
def test_it_listens_on_the_address_of_the_settings(host: str, shown: str) -> None:
    (listening,) = sockets.listen(WebSettings(host=host, port=0), {})
    with listening:
        assert sockets.addresses([listening]) == [f"http://{shown}:{listening.getsockname()[1]}"]
        with socket.create_connection(listening.getsockname()[:2]):
            listening.accept()[0].close()


def test_a_port_that_is_in_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_TAKEN_RETRIES", 0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"REPO2HUB_PORT: cannot listen on 127.0.0.1 port {port}"):
            sockets.listen(WebSettings(port=port), {})


def test_sockets_of_another_process_are_not_taken() -> None:
    assert list(sockets.inherited_descriptors({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"})) == [3, 4]
    assert not sockets.inherited_descriptors({"LISTEN_PID": "1", "LISTEN_FDS": "2"})
    assert not sockets.inherited_descriptors({})
