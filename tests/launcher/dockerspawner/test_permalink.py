"""Links to the form: they fill it in, and start nothing unless the admin allows it."""

import pytest

from repo2hub_launcher.dockerspawner import permalink
from repo2hub_launcher.spawning import user_options


class Request:
    """The part of a handler and its request that permalink uses."""

    def __init__(self, method: str, **query: str) -> None:
        self.method = method
        self.query_arguments = {name.replace("opt_", "opt-"): [v.encode()] for name, v in query.items()}
        self.arguments = dict(self.query_arguments)
        self.request = self


@pytest.mark.parametrize(
    "query", [{"repo": "a/b", "ref": "x"}, {"opt_repo": "a/b", "opt_ref": "x"}, {"utm_source": "mail"}]
)
def test_a_link_does_not_start_a_server(query: dict[str, str]) -> None:
    for more in ({}, {"autostart": "true"}):
        handler = Request("GET", **query, **more, next="/hub/user-redirect/lab")
        permalink.prevent_autostart(handler, allow_autostart=False)
        assert list(handler.query_arguments) == ["next"]
    handler = Request("GET", **query)
    permalink.prevent_autostart(handler, allow_autostart=True)
    assert handler.query_arguments == {}, "allowed, but the link did not ask for it"


def test_a_link_starts_a_server_if_it_asks_for_it_and_the_admin_allows_it() -> None:
    handler = Request("GET", repo="a/b", autostart="true")
    permalink.prevent_autostart(handler, allow_autostart=True)
    assert handler.query_arguments["repo"] == [b"a/b"]


def test_fields_are_read_with_and_without_the_prefix() -> None:
    assert permalink.form_fields(Request("GET", opt_repo="a/b", ref="x").arguments) == {
        "repo": "a/b",
        "ref": "x",
    }
    assert (
        permalink.form_fields({"repo": [b"\xff" * 1000]})["repo"] == "\ufffd" * user_options.MAX_TEXT_LENGTH
    )
