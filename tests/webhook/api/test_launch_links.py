"""Links in Binder's form: where they lead, and where they never do."""

from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from db.database import Database
from webhook.app import create_app
from webhook.settings import WebSettings


@pytest.fixture
def app(settings: WebSettings, database: Database) -> Flask:
    return create_app(settings.model_copy(update={"base_url": "/services/binder/"}), database)


def led_to(client: FlaskClient, link: str) -> tuple[str, dict[str, str]]:
    """Return the page and the query that a link leads to."""
    answer = client.get(f"/services/binder/v2/gh/{link}")
    assert answer.status_code == 302, answer.text
    there = urlsplit(answer.headers["Location"])
    return there._replace(query="").geturl(), {name: v[0] for name, v in parse_qs(there.query).items()}


@pytest.mark.parametrize(
    ("link", "ref"),
    [
        ("Org/repo/main", "main"),
        ("Org/repo/feature/a+b", "feature/a+b"),
        ("Org/repo", "HEAD"),
        ("Org/repo/", "HEAD"),
        ("Org/repo/v1%231", "v1#1"),
    ],
)
def test_a_link_redirects_to_the_spawn_page_with_the_form_filled_in(
    client: FlaskClient, link: str, ref: str
) -> None:
    assert led_to(client, link) == ("/hub/spawn", {"repo": "Org/repo", "ref": ref})


@pytest.mark.parametrize(
    ("query", "arrives"),
    [
        ("urlpath=lab/tree/a.ipynb", "lab/tree/a.ipynb"),
        ("urlpath=/rstudio/", "rstudio/"),
        ("labpath=notes/a%20b.ipynb", "lab/tree/notes/a b.ipynb"),
        ("filepath=a.ipynb", "lab/tree/a.ipynb"),
        ("urlpath=git-pull%3Frepo%3Dhttps%3A%2F%2Fexample.org%2Fa", "git-pull?repo=https://example.org/a"),
    ],
)
def test_a_link_can_name_the_page_that_the_server_opens(
    client: FlaskClient, query: str, arrives: str
) -> None:
    _, wanted = led_to(client, f"Org/repo/main?{query}")
    assert wanted == {"repo": "Org/repo", "ref": "main", "next": f"/hub/user-redirect/{arrives}"}


@pytest.mark.parametrize(
    "link",
    [
        "Org/re%0d%0apo/main",
        "Org/repo/a%0d%0aSet-Cookie:x",
        "..%2f..%2fevil.example/repo/main",
        "Org/repo/main?urlpath=../../logout",
        "Org/repo/main?urlpath=%252e%252e/%252e%252e/logout",
        "Org/repo/main?urlpath=a\\..\\logout",
        "Org/repo/main?urlpath=%0d%0aLocation:x",
        "Org/repo/main?urlpath=" + "a" * 2000,
    ],
)
def test_a_link_that_could_lead_to_another_site_is_rejected(client: FlaskClient, link: str) -> None:
    answer = client.get(f"/services/binder/v2/gh/{link}")
    assert answer.status_code in (404, 422)
    assert "Location" not in answer.headers


def test_parameters_of_a_link_cannot_change_others(client: FlaskClient) -> None:
    page, wanted = led_to(
        client, "Org/repo/main?urlpath=//evil.example/&next=https://evil.example&autostart=true"
    )
    assert page == "/hub/spawn"
    assert wanted["next"] == "/hub/user-redirect/evil.example/"
    assert "autostart" not in wanted


@pytest.mark.parametrize(
    ("hub_url", "page", "hub_path"),
    [
        (None, "/hub/spawn", "/hub/"),
        (
            "https://hub.example.org/jupyter/hub/spawn",
            "https://hub.example.org/jupyter/hub/spawn",
            "/jupyter/hub/",
        ),
    ],
)
def test_the_hubs_url_comes_from_the_settings(hub_url: str | None, page: str, hub_path: str) -> None:
    settings = WebSettings(hub_url=hub_url)
    assert (settings.launcher_url, settings.hub_path) == (page, hub_path)


def test_the_hubs_url_defaults_to_the_hub_of_the_base_path() -> None:
    assert WebSettings(base_url="/jupyter/services/binder/").launcher_url == "/jupyter/hub/spawn"


@pytest.mark.parametrize("wrong", ["//evil.example/hub/spawn", "javascript:x", "/hub/spawn?x=1", "/hub/home"])
def test_an_invalid_hub_url_is_rejected(wrong: str) -> None:
    with pytest.raises(ValueError, match="spawn page"):
        WebSettings(hub_url=wrong)
