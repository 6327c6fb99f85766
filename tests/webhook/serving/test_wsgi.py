"""What the application sees of a request."""

from typing import Any

import pytest

from webhook.serving.wsgi import make_environ, set_body


def _scope(**more: Any) -> dict[str, Any]:
    return {
        "method": "GET",
        "raw_path": b"/build/gh/o/r/a%2Fb%C3%A9",
        "query_string": b"x=1&y=%20",
        "http_version": "1.1",
        "server": ("127.0.0.1", 8585),
        "client": ("192.0.2.7", 999),
        "headers": [(b"host", b"example.org"), (b"accept", b"a"), (b"accept", b"b"), (b"content-type", b"t")],
        **more,
    }


def test_path_query_and_headers_arrive_as_they_were_sent() -> None:
    environ = make_environ(_scope())
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/build/gh/o/r/a/bé"
    assert environ["REQUEST_URI"] == "/build/gh/o/r/a%2Fb%C3%A9?x=1&y=%20"
    assert (environ["QUERY_STRING"], environ["REMOTE_ADDR"]) == ("x=1&y=%20", "192.0.2.7")
    assert (environ["HTTP_HOST"], environ["HTTP_ACCEPT"], environ["CONTENT_TYPE"]) == (
        "example.org",
        "a,b",
        "t",
    )


def test_a_header_with_an_underscore_cannot_pass_for_another() -> None:
    environ = make_environ(_scope(headers=[(b"x_forwarded_for", b"127.0.0.1"), (b"content_length", b"5")]))
    assert not [name for name in environ if "FORWARDED" in name or "LENGTH" in name]


@pytest.mark.parametrize(
    ("client", "scheme"), [("127.0.0.1", "https"), ("::1", "https"), ("192.0.2.7", "http"), ("", "http")]
)
def test_only_a_web_server_on_this_machine_says_that_its_client_uses_tls(client: str, scheme: str) -> None:
    headers = [(b"x-forwarded-proto", b"https")]
    environ = make_environ(_scope(client=(client, 1) if client else None, headers=headers))
    assert environ["wsgi.url_scheme"] == scheme


def test_a_chunked_body_has_a_length_once_it_has_arrived() -> None:
    environ = make_environ(_scope(headers=[(b"transfer-encoding", b"chunked")]))
    set_body(environ, b"body")
    assert environ["CONTENT_LENGTH"] == "4" and environ["wsgi.input"].read() == b"body"
    assert "HTTP_TRANSFER_ENCODING" not in environ
