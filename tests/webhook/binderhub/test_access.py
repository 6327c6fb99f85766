"""Who may have what built through BinderHub's build API, and from which servers."""

from urllib.parse import quote

import pytest
from pydantic import SecretStr
from werkzeug.exceptions import abort
from werkzeug.utils import redirect

from db.database import Database
from db.records import builds
from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.webhook.binderhub.conftest import EVENTS, Ask, Request, build_count
from tests.webhook.records import Clock, Records
from webhook.access.auth import Guard
from webhook.access.permissions import User
from webhook.app import STREAMS, create_app
from webhook.settings import WebSettings


def test_another_web_site_cannot_start_a_build(
    ask: Ask, remote_repository: BareRepository, database: Database
) -> None:
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "https://["},
        {"Host": "evil.example"},
    ):
        (event,) = ask("gh/org/repo/main", **headers).ended()
        assert (event["phase"], event["status_code"]) == ("failed", 403)
    assert build_count(database) == 0
    ask("gh/org/repo/main", Sec_Fetch_Site="same-origin").until("Waiting")


def test_a_browser_that_must_log_in_is_redirected(
    settings: WebSettings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def redirect_to_login(*_: object) -> None:
        abort(redirect("/hub/login"))

    monkeypatch.setattr(Guard, "check", redirect_to_login)
    client = create_app(settings, database).test_client()
    response = client.get("/build/gh/org/repo/main?build_only=true")
    assert (response.status_code, response.headers["Location"]) == (302, "/hub/login")


def test_with_tokens_only_who_brings_one_is_answered(
    settings: WebSettings, database: Database, records: Records
) -> None:
    changes = {"auth": "token", "api_tokens": (SecretStr("s3cret"),)}
    app = create_app(settings.model_copy(update=changes), database)
    path = "/build/gh/org/repo/main?build_only=true"
    name = records.succeed(records.push())
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "token=s3cret"}):
        (event,) = Request(app.test_client(), path, EVENTS | headers).ended()
        assert event["status_code"] == 401 and name not in str(event)
    (event,) = Request(app.test_client(), path, EVENTS | {"Authorization": "Bearer s3cret"}).ended()
    assert event["imageName"] == name


def test_a_private_repository_is_missing_to_who_may_not_see_it(
    ask: Ask, records: Records, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = records.succeed(records.push())
    with database.write() as session:
        records.repository(session).private = True
    assert ask("gh/org/repo/main").ended()[-1]["imageName"] == name
    monkeypatch.setattr(Guard, "user", lambda _: User("eve", is_admin=False))
    (event,) = ask("gh/org/repo/main").ended()
    assert event["status_code"] == 404 and event["message"].startswith(
        "Repository org/repo not found on GitHub."
    )


def test_what_only_the_token_shows_is_for_admins(
    settings: WebSettings, database: Database, github: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    github.create("org/secret", token="t0ken").commit({"s": "s"})
    app = create_app(settings.model_copy(update={"github_token": SecretStr("t0ken")}), database)

    def ask(ref: str) -> Request:
        return Request(app.test_client(), f"/build/gh/org/secret/{ref}?build_only=true", EVENTS)

    with monkeypatch.context() as as_eve:
        as_eve.setattr(Guard, "user", lambda _: User("eve", is_admin=False))
        for ref in ("main", "nothing", "HEAD", "master"):
            (event,) = ask(ref).ended()
            assert event["message"].startswith("Repository org/secret not found on GitHub.")
    assert build_count(database) == 0
    build_id = ask("main").until("Waiting")["build_id"]
    with database.read() as session:
        build = builds.get(session, build_id)
    assert build is not None and build.repository.private
    app.extensions[STREAMS].close()


def test_a_repository_of_another_server_is_built_by_its_address(
    ask: Ask, records: Records, github: GitServer, remote_repository: BareRepository, database: Database
) -> None:
    elsewhere = f"{github.url.replace('127.0.0.1', 'localhost')}/Org/Repo"
    request = ask(f"git/{quote(f'{elsewhere}.git', safe='')}/main")
    waiting = request.until("Waiting")
    assert waiting["commit"] == remote_repository.head()
    with database.read() as session:
        build = builds.get(session, waiting["build_id"])
    assert build is not None
    assert (build.repository.provider, build.repository.full_name) == ("git", elsewhere)
    again = ask(f"git/{quote(f'{elsewhere}/', safe='')}/{quote('refs/heads/main', safe='')}")
    assert again.until("Waiting")["build_id"] == build.id
    name = records.finish(records.claim(build.id))
    assert again.ended()[-1]["imageName"] == name
    assert not github.authorized


def test_an_address_at_github_is_the_repository_of_that_name(
    ask: Ask, records: Records, github: GitServer
) -> None:
    name = records.succeed(records.push())
    assert ask(f"git/{quote(f'{github.url}/Org/Repo.git', safe='')}/main").ended()[-1]["imageName"] == name


def test_behind_a_hub_the_slashes_of_a_ref_and_an_address_survive(
    settings: WebSettings, database: Database, records: Records, github: GitServer
) -> None:
    app = create_app(settings.model_copy(update={"base_url": "/services/binder/"}), database)
    name = records.succeed(records.push(ref="refs/heads/feature/x"))
    for spec in (f"git/{quote(f'{github.url}/org/repo', safe='')}/feature%2Fx", "gh/org/repo/feature/x"):
        path = f"/services/binder/build/{spec}?build_only=true"
        assert Request(app.test_client(), path, EVENTS).ended()[-1]["imageName"] == name


def test_a_user_with_all_their_streams_is_told_so_as_an_event(
    settings: WebSettings, database: Database, records: Records, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(settings.model_copy(update={"user_streams": 1}), database, clock=clock)
    monkeypatch.setattr(Guard, "user", lambda _: User("eve", is_admin=False))
    with database.write() as session:
        repository = records.repository(session)
        repository.private, repository.private_known = False, True
    records.push()
    first = Request(app.test_client(), "/build/gh/org/repo/main?build_only=true", EVENTS)
    first.until("Waiting")
    second = Request(app.test_client(), "/build/gh/org/repo/main?build_only=true", EVENTS).ended()[-1]
    assert (second["phase"], second["status_code"], second["retry_after"]) == ("failed", 429, 60)
    assert "You reached your limit of open logs (1)" in second["message"]
    app.extensions[STREAMS].close()
    first.ended()
