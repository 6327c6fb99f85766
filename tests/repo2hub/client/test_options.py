"""Which repository and which service a command line names."""

import click
import pytest

from repo2hub.client.service import ServiceClient
from repo2hub.commands.builds import Target, build
from tests.repo2hub.command_line import run


@pytest.mark.parametrize("target", ["repo", "a/b/c", "org/", "/repo", "org/repo@", "org repo/x"])
def test_an_invalid_repository_is_a_usage_error(target: str) -> None:
    assert run("lookup", target)[0] == 2


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("org/repo", Target("org/repo", "HEAD")),
        ("Org/Repo.js@feature/x@2", Target("Org/Repo.js", "feature/x@2")),
        ("https://github.com/org/repo", Target("org/repo", "HEAD")),
        ("https://github.com/org/repo.git@v1", Target("org/repo", "v1")),
        ("https://github.com/org/repo/", Target("org/repo", "HEAD")),
        ("https://ghe.example/org/repo@v1", Target("org/repo", "v1")),
    ],
)
def test_a_repository_is_a_name_or_an_address(
    environment: pytest.MonkeyPatch, text: str, target: Target
) -> None:
    if "ghe.example" in text:
        environment.setenv("REPO2HUB_GITHUB_URL", "https://ghe.example/")
    with click.Context(build) as context:
        parameter = next(one for one in build.params if one.name == "target")
        assert parameter.type_cast_value(context, text) is not None
        assert parameter.process_value(context, text) == target


@pytest.mark.parametrize(
    ("address", "github"),
    [
        ("https://gitlab.com/org/repo", ""),
        ("https://gitlab.com/org/group/repo@main", ""),
        ("https://gist.github.com/org/0123abcd", ""),
        ("https://github.com/org/repo", "https://ghe.example"),
    ],
)
def test_an_address_of_another_server_is_never_taken_for_a_name_at_github(address: str, github: str) -> None:
    code, out, err = run("build", address, "--server", "http://127.0.0.1:9", REPO2HUB_GITHUB_URL=github)
    assert (code, out) == (2, "")
    message = " ".join(err.split())
    assert f"{address.split('/')[2]} is not {github or 'https://github.com'}" in message
    assert "/build/git/<URL-encoded address>/<ref>" in message


HUB = {
    "REPO2HUB_AUTH": "jupyterhub",
    "JUPYTERHUB_SERVICE_PREFIX": "/services/binder/",
    "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:28585",
}


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, "http://127.0.0.1:8585"),
        ({"REPO2HUB_PORT": "9", "REPO2HUB_BASE_URL": "x"}, "http://127.0.0.1:9/x"),
        ({"REPO2HUB_HOST": "::"}, "http://[::1]:8585"),
        ({"REPO2HUB_HOST": "192.0.2.1"}, "http://192.0.2.1:8585"),
        (HUB, "http://127.0.0.1:28585/services/binder"),
        (HUB | {"REPO2HUB_PORT": "9"}, "http://127.0.0.1:9/services/binder"),
        (HUB | {"REPO2HUB_BASE_URL": "/y/"}, "http://127.0.0.1:28585/y"),
        (HUB | {"JUPYTERHUB_SERVICE_URL": ""}, "http://127.0.0.1:8585/services/binder"),
        (HUB | {"REPO2HUB_AUTH": "token"}, "http://127.0.0.1:8585"),
        (HUB | {"REPO2HUB_SERVER": "https://hub.example/"}, "https://hub.example"),
    ],
)
def test_the_default_address_is_where_up_listens_with_the_same_variables(
    environment: pytest.MonkeyPatch, variables: dict[str, str], address: str
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    asked: list[str] = []
    environment.setattr(ServiceClient, "builds", lambda self, **_filters: asked.append(self.address) or [])
    code, _, err = run("builds")
    assert (code, asked) == (0, [address]), err
