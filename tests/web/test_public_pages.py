"""Pages that are open to the public: what is private is nowhere on them, and they change nothing."""

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr

from db import queue, repositories
from db.engine import Database
from db.models import Repository
from db.queue import Lease, Result
from db.status import Status, Trigger
from tests.conftest import COMMIT, NOW
from tests.web.records import Records
from tests.web.test_pages import HTML, SAME_SITE, rows
from webhook.app import create_app
from webhook.settings import WebSettings


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The pages read what other code does not: on both kinds."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def private(database: Database, settings: WebSettings) -> int:
    """A build of a private repository that ada asked for."""
    with database.write() as session:
        repository: Repository = repositories.record(
            session, full_name="Org/Secret", provider_id=9, private=True, default_branch="main", now=NOW
        )
        asked = queue.enqueue(
            session,
            repository=repository,
            ref="refs/heads/main",
            commit=COMMIT,
            recipe=settings.recipe(),
            trigger=Trigger.LAUNCH,
            requested_by="ada",
            now=NOW,
        )
        claimed = queue.claim(session, worker="w", now=NOW)
        assert asked.build is not None and claimed is not None
        assert queue.finish(session, Lease(claimed.id, claimed.attempt), Result(Status.SUCCEEDED), now=NOW)
        return asked.build.id


@pytest.fixture
def see_public(settings: WebSettings, database: Database) -> FlaskClient:
    """A client of a service whose pages are public, which has not said who it is."""
    changes = {"auth": "token", "api_tokens": (SecretStr("a-token-of-the-service"),), "public_pages": True}
    return create_app(settings.model_copy(update=changes), database).test_client()


def test_what_is_private_is_nowhere_on_public_pages(
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
    assert hidden.text == unknown.text.replace("org/nothing", "org/secret")


def test_the_public_has_no_buttons_and_no_overview(see_public: FlaskClient, records: Records) -> None:
    build = records.push()
    page = see_public.get(f"/builds/{build}", headers=HTML).text
    assert "<form" not in page and "Overview" not in page
    assert see_public.get("/admin", headers=HTML).status_code == 403
    assert (
        see_public.post(f"/builds/{build}/cancel", data={"_xsrf": ""}, headers=SAME_SITE).status_code == 401
    )
