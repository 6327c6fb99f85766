"""Pages that are open to the public: what is private is nowhere on them, and they change nothing."""

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr
from werkzeug.test import TestResponse

from db.database import Database
from db.models import Repository
from db.queue import enqueue, transitions
from db.queue.transitions import BuildResult
from db.records import repositories
from db.status import Lease, Status, Trigger
from demo.github.git_server import GitServer
from tests.conftest import COMMIT, NOW, database_url
from tests.webhook.access.hub.test_hub import StandIn
from tests.webhook.pages.test_pages import HTML, SAME_SITE, rows
from tests.webhook.records import Records
from webhook.access.hub.login import HUB_TOKEN_KEY
from webhook.app import create_app
from webhook.settings import WebSettings

__all__ = ["database_url"]  # on both databases


@pytest.fixture
def private(database: Database, settings: WebSettings) -> int:
    """A build of a private repository that ada asked for."""
    with database.write() as session:
        repository: Repository = repositories.record(
            session, full_name="Org/Secret", provider_id=9, private=True, default_branch="main", now=NOW
        )
        asked = enqueue.enqueue(
            session,
            repository=repository,
            ref="refs/heads/main",
            commit=COMMIT,
            recipe=settings.recipe(),
            trigger=Trigger.LAUNCH,
            requested_by="ada",
            now=NOW,
        )
        claimed = transitions.claim(session, worker="w", now=NOW)
        assert asked.build is not None and claimed is not None
        assert transitions.finish(
            session, Lease(claimed.id, claimed.attempt), BuildResult(Status.SUCCEEDED), now=NOW
        )
        return asked.build.id


HUB = {
    "JUPYTERHUB_API_TOKEN": "the-token-of-the-service",
    "JUPYTERHUB_API_URL": "http://127.0.0.1:1/hub/api",
    "JUPYTERHUB_CLIENT_ID": "service-binder",
    "JUPYTERHUB_SERVICE_NAME": "binder",
    "JUPYTERHUB_SERVICE_PREFIX": "/services/binder/",
}
"""Nobody logs in, so the hub is not asked."""


@pytest.fixture(params=["token", "jupyterhub"])
def ask_public(
    request: pytest.FixtureRequest,
    settings: WebSettings,
    database: Database,
    github: GitServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., TestResponse]:
    """Ask a service that has a token of GitHub's and whose pages are public, without saying who it is."""
    for name, value in HUB.items():
        monkeypatch.setenv(name, value)
    base = HUB["JUPYTERHUB_SERVICE_PREFIX"]
    changes = {
        "auth": request.param,
        "api_tokens": (SecretStr("a-token-of-the-service"),),
        "public_pages": True,
        "base_url": base,
        "github_url": github.url,
        "github_token": SecretStr("t0ken"),
    }
    client = create_app(settings.model_copy(update=changes), database).test_client()
    return lambda path, **more: client.get(f"{base.rstrip('/')}{path}", **more)


@pytest.fixture
def see_public(settings: WebSettings, database: Database) -> FlaskClient:
    """A client of a service whose pages are public, which has not said who it is."""
    changes = {"auth": "token", "api_tokens": (SecretStr("a-token-of-the-service"),), "public_pages": True}
    return create_app(settings.model_copy(update=changes), database).test_client()


def test_public_pages_contain_nothing_private(
    see_public: FlaskClient, records: Records, private: int, database: Database
) -> None:
    public = records.push("1" * 40)
    assert public not in rows(see_public.get("/", headers=HTML))  # nobody has told yet that it is
    with database.write() as session:
        repositories.record(session, full_name="Org/Repo", provider_id=1, private=False, now=NOW)
    for path in ("/", "/?q=secret", "/?repository=org/secret", f"/?q={COMMIT}", "/?part=list"):
        page = see_public.get(path, headers=HTML)
        assert page.status_code == 200 and private not in rows(page)
        assert "Org/Secret" not in page.text and "Launch" not in page.text
    assert public in rows(see_public.get("/", headers=HTML))
    assert see_public.get(f"/builds/{private}", headers=HTML).status_code == 404
    hidden = see_public.get("/gh/org/secret", headers=HTML)
    unknown = see_public.get("/gh/org/nothing", headers=HTML)
    assert hidden.status_code == unknown.status_code == 404
    seconds = re.compile(r'data-now="[^"]+"')  # the two requests may be in different ones
    assert seconds.sub("", hidden.text) == seconds.sub("", unknown.text).replace("org/nothing", "org/secret")


PATHS = [
    "/gh/org/{}",
    "/?repository=org/{}",
    "/?repository=org/{}&ref=main",
    "/?repository=org/{}&ref=a..b",
    "/?repository=org/{}&ref=-x",
    "/?q={}",
    "/v2/gh/org/{}/main",
    "/api/v1/builds?repository=org/{}",
    "/api/v1/builds?repository=org/{}&ref=main",
    "/api/v1/builds?repository=org/{}&ref=a..b",
    "/api/v1/images/gh/org/{}/main",
    "/api/v1/images/gh/org/{}/HEAD",
    "/api/v1/images/gh/org/{}/" + COMMIT,
    "/api/v1/images/gh/org/{}/" + COMMIT[:9],
    "/api/v1/images/gh/org/{}/pull/7/head",
    "/badge/gh/org/{}.svg",
    "/badge/gh/org/{}/main.svg",
    "/badge/gh/org/{}/" + COMMIT + ".svg",
]


@pytest.mark.parametrize("is_away", [False, True])
def test_a_private_repository_gets_the_response_of_an_unknown_one(
    ask_public: Callable[..., TestResponse], private: int, github: GitServer, *, is_away: bool
) -> None:
    github.create("org/secret", token="t0ken").commit({"a": "a"})
    if is_away:
        github.stop()
    for path in PATHS:
        headers = {} if path.startswith("/api/") else HTML
        secret, absent = (ask_public(path.format(name), headers=headers) for name in ("secret", "absent"))
        assert _told(secret, "secret") == _told(absent, "absent"), path


def _told(answer: TestResponse, name: str) -> tuple[int, list[tuple[str, str]], str]:
    headers = sorted((header, value.replace(name, "*")) for header, value in answer.headers)
    text = re.sub('data-now="[^"]+"', "", answer.text)
    return answer.status_code, headers, text.replace(name, "*")


def test_an_ended_session_learns_nothing_from_a_badge(
    settings: WebSettings, database: Database, private: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = StandIn({})
    for name, value in (HUB | {"JUPYTERHUB_API_URL": hub.start()}).items():
        monkeypatch.setenv(name, value)
    base = HUB["JUPYTERHUB_SERVICE_PREFIX"]
    app = create_app(settings.model_copy(update={"auth": "jupyterhub", "base_url": base}), database)
    cookies = []
    for name in ("secret", "absent"):
        client = app.test_client()
        with client.session_transaction(base_url=f"http://localhost{base}") as session:
            session[HUB_TOKEN_KEY] = "a token that was revoked"
        answer = client.get(f"{base}badge/gh/org/{name}.svg")
        cookies.append(answer.headers.getlist("Set-Cookie"))
    hub.stop()
    assert cookies[0] == cookies[1] != []


def test_public_pages_have_no_buttons_and_no_overview(see_public: FlaskClient, records: Records) -> None:
    build = records.push()
    page = see_public.get(f"/builds/{build}", headers=HTML).text
    assert "<form" not in page and "Overview" not in page
    assert see_public.get("/admin", headers=HTML).status_code == 403
    assert (
        see_public.post(f"/builds/{build}/cancel", data={"_xsrf": ""}, headers=SAME_SITE).status_code == 401
    )
