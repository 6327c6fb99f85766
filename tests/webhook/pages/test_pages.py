"""The status pages over HTTP: what they say, to whom, and that nothing in them is anybody's but text."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from db.database import Database
from db.models import Build
from db.queue import enqueue, supersede, transitions
from db.queue.transitions import BuildResult
from db.records import builders, deliveries, repositories
from db.status import Phase, Reason, Status, Trigger
from tests.conftest import COMMIT, NOW, database_url
from tests.webhook.records import Records
from webhook.app import create_app
from webhook.http import html
from webhook.settings import WebSettings

__all__ = ["database_url"]  # on both databases

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SAME_SITE = {**HTML, "Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
LONG = "a-branch-with-a-long-name" * 9
HOSTILE = "<script>alert(1)</script>\"'&\u202e\x1b[31m"


@pytest.fixture
def app(settings: WebSettings, database: Database, clock: Callable[[], object]) -> Flask:
    return create_app(settings, database, clock=clock)  # type: ignore[arg-type]


@pytest.fixture
def see(client: FlaskClient) -> Callable[..., TestResponse]:
    """Ask for a page as a browser does, and demand what every page must have."""

    def ask(path: str, status: int = 200) -> TestResponse:
        answer = client.get(path, headers=HTML)
        assert answer.status_code == status, answer.text
        assert answer.content_type == "text/html; charset=utf-8"
        assert answer.headers["Content-Security-Policy"] == html.POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "<script>" not in answer.text and not re.search(r"\son\w+=|style=", answer.text)
        return answer

    return ask


See = Callable[..., TestResponse]


def rows(page: TestResponse) -> list[int]:
    """The builds that a page lists, in its order."""
    return [int(number) for number in re.findall(r'id="b(\d+)"', page.text)]


def test_without_builds_an_admin_sees_the_first_steps(see: See) -> None:
    page = see("/").text
    assert "http://localhost/webhook/github" in page and "application/json" in page
    assert "repo2hub build org/repo" in page


def test_the_front_page_is_json_for_scripts(client: FlaskClient) -> None:
    answer = client.get("/", headers={"Accept": "application/json"})
    assert answer.json == {"service": "repo2hub", "api": "/api/v1/builds"}


def test_active_builds_are_above_finished_ones(see: See, records: Records) -> None:
    done = records.push("1" * 40)
    records.succeed(done)
    running = records.push("2" * 40)
    records.claim(running)
    waiting = records.push("3" * 40)
    page = see("/")
    assert rows(page) == [running, waiting, done]
    assert "Position 1 in the queue" in page.text and "usually takes 9.0 s" in page.text
    assert page.text.index("In progress") < page.text.index("Finished")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["running", "queued", "failed", "dev", "good"]),
        ("status=queued", ["queued"]),
        ("status=failed", ["failed"]),
        ("trigger=push", ["running", "queued", "failed", "dev", "good"]),
        ("trigger=launch", []),
        ("repository=org/repo&ref=dev", ["dev"]),
        ("repository=Org/Repo&status=succeeded", ["dev", "good"]),
        ("repository=org/unknown", []),
        ("q=package", ["failed"]),
        ("q=111111", ["good"]),
        ("q=org%2Frepo", ["failed", "dev", "good"]),
        ("q=nobody+wrote+this", []),
    ],
)
def test_filters_and_search_are_in_the_url(
    see: See, records: Records, query: str, expected: list[str]
) -> None:
    numbers = {"good": records.push("1" * 40)}
    records.succeed(numbers["good"])
    numbers["dev"] = records.push("2" * 40, "refs/heads/dev")
    records.succeed(numbers["dev"])
    numbers["failed"] = records.push("3" * 40)
    records.fail(numbers["failed"])
    numbers["running"] = records.push("4" * 40)
    records.claim(numbers["running"])
    numbers["queued"] = records.push("5" * 40)
    assert rows(see(f"/?{query}")) == [numbers[name] for name in expected]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("repository=org/repo&ref=v1", 3),
        ("repository=org/repo&ref=heads/v1&trigger=push", 2),
        ("repository=org/repo&ref=refs/tags/v1&status=failed", 1),
        ("repository=org/repo&ref=HEAD", 1),
        ("repository=org/repo&ref=", 5),
        ("status=succeeded", 2),
        ("repository=org/repo&ref=nope", 0),
        (f"repository=org/repo&ref={LONG}", 1),
    ],
)
def test_the_api_lists_what_the_page_does(
    see: See, client: FlaskClient, records: Records, query: str, count: int
) -> None:
    records.succeed(records.push("1" * 40))
    records.succeed(records.push("2" * 40, "refs/heads/v1"))
    records.fail(records.push("3" * 40, "refs/tags/v1"))
    records.push("4" * 40, "refs/heads/v1")
    records.push("5" * 40, f"refs/heads/{LONG}")
    answer = client.get(f"/api/v1/builds?{query}").json
    assert answer is not None
    listed = [build["id"] for build in answer["builds"]]
    assert len(listed) == count and listed == sorted(rows(see(f"/?{query}")), reverse=True)


@pytest.mark.parametrize(
    "query", ["status=nope", "trigger=nope", "before=x", "ref=main", "repository=a/b/c", "repository=../x"]
)
def test_an_invalid_filter_is_an_error_page(see: See, records: Records, query: str) -> None:
    assert "Invalid request" in see(f"/?{query}", 422).text


def test_a_number_leads_to_its_build(client: FlaskClient, records: Records) -> None:
    build = records.push()
    for words in (f"{build}", f"%23{build}"):
        answer = client.get(f"/?q={words}", headers=HTML)
        assert answer.status_code == 303 and answer.location == f"/builds/{build}"
    assert client.get("/?q=%239999", headers=HTML).status_code == 200


def test_paging_is_stable_while_builds_are_added(see: See, records: Records) -> None:
    made = []
    for number in range(60):
        made.append(records.push(f"{number:040x}"))
        records.succeed(made[-1])
    first = see("/")
    records.succeed(records.push("f" * 40))
    older = re.search(r'href="(\?before=\d+)"', first.text)
    assert older is not None
    second = see(f"/{older[1]}")
    assert rows(first) + rows(second) == made[::-1]
    assert "In progress" not in second.text and "before=" not in second.text


def test_an_open_page_refreshes_its_parts(see: See, records: Records) -> None:
    build = records.push()
    part = see("/?part=active").text
    assert f'data-ids="{build},{build}"' in part and "<html" not in part
    records.succeed(build)
    assert f'data-ids="{build}"' in see("/?part=active").text
    assert rows(see("/?part=list")) == [build]
    summary = see(f"/builds/{build}?part=summary").text
    assert 'data-state="succeeded' in summary and "<html" not in summary


def test_a_failed_build_says_why_and_what_to_do(see: See, records: Records) -> None:
    good = records.push("1" * 40)
    records.succeed(good)
    build = records.push("2" * 40)
    records.fail(build, "Python package numppy not found. Check its spelling.", log=["#1 line\n"])
    page = see(f"/builds/{build}").text
    assert "Python package numppy not found" in page
    assert "How to fix it (repository owner):" in page and "Check the package name" in page
    assert f"Last success #{good}" in page and "Rebuild" in page and ">Launch<" not in page
    assert "#1 line" in page  # for who has no JavaScript


def test_the_image_of_a_successful_build_can_be_copied(see: See, records: Records) -> None:
    build = records.push()
    image = records.succeed(build)
    page = see(f"/builds/{build}").text
    assert f'data-copy="{image}"' in page
    assert f"https://github.com/Org/Repo/commit/{COMMIT}" in page


def test_with_a_hub_images_can_be_launched_and_shared(
    settings: WebSettings, database: Database, records: Records, see: See
) -> None:
    build = records.push()
    records.succeed(build)
    for path in (f"/builds/{build}", "/gh/org/repo", "/gh/new/one"):
        assert "/v2/gh/" not in see(path, 404 if "new" in path else 200).text, "it would lead nowhere"
    beside_a_hub = settings.model_copy(update={"hub_url": "https://hub.example.org/hub/spawn"})
    client = create_app(beside_a_hub, database).test_client()
    assert 'href="/v2/gh/Org/Repo/main"' in client.get(f"/builds/{build}", headers=HTML).text
    assert 'data-copy="http://localhost/v2/gh/Org/Repo/HEAD"' in client.get("/gh/org/repo", headers=HTML).text
    assert 'href="/v2/gh/new/one/HEAD"' in client.get("/gh/new/one", headers=HTML).text


def test_a_repository_of_another_server_links_there_and_has_no_launch_button(
    settings: WebSettings, database: Database, records: Records
) -> None:
    records.succeed(records.push())
    address, wish = "https://git.example.org/group/proj", {"commit": COMMIT, "recipe": settings.recipe()}
    with database.write() as session:
        elsewhere = repositories.record(session, full_name=address, provider="git", private=False, now=NOW)
        asked = enqueue.enqueue(
            session, repository=elsewhere, ref="HEAD", trigger=Trigger.LAUNCH, now=NOW, **wish
        )
    assert asked.build is not None
    records.succeed(asked.build.id)
    beside_a_hub = settings.model_copy(update={"hub_url": "https://hub.example.org/hub/spawn"})
    client = create_app(beside_a_hub, database).test_client()
    page = client.get(f"/builds/{asked.build.id}", headers=HTML).text
    assert f'<a href="{address}">{address}</a>' in page
    links = [link for link in re.findall(r'href="(/[^"]*)"', page) if not link.startswith("/static/")]
    assert links and {client.get(link, headers=HTML).status_code for link in links} == {200}
    assert "/v2/" not in page and "github.com/https" not in page
    ready = client.get("/api/v1/images").json["images"]  # type: ignore[index]
    assert [image["repository"] for image in ready] == ["Org/Repo"]


def test_queued_builds_without_a_builder_are_explained(
    see: See, records: Records, database: Database
) -> None:
    records.push()
    assert "No builder is running" in see("/").text and "No builder is running" in see("/?part=active").text
    with database.write() as session:
        builders.record_presence(session, name="w", slots=1, version="0.1.0", started_at=NOW, now=NOW)
    assert "No builder is running" not in see("/").text


def test_a_running_build_can_be_cancelled_by_a_form(
    client: FlaskClient, see: See, records: Records, database: Database
) -> None:
    build = records.push()
    lease = records.claim(build)
    with database.write() as session:
        transitions.enter_phase(session, lease, Phase.BUILDING, now=NOW)
    page = see(f"/builds/{build}").text
    assert f'action="/builds/{build}/cancel"' in page and "Building" in page
    answer = client.post(f"/builds/{build}/cancel", data={"_xsrf": ""}, headers=SAME_SITE)
    assert answer.status_code == 303 and answer.location == f"/builds/{build}"
    assert "Cancelling" in see(f"/builds/{build}").text


def test_a_build_can_be_rebuilt_by_a_form(client: FlaskClient, see: See, records: Records) -> None:
    build = records.push()
    records.fail(build)
    answer = client.post(f"/builds/{build}/rebuild", data={"_xsrf": ""}, headers=SAME_SITE)
    assert answer.status_code == 303
    again = int(answer.location.rsplit("/", 1)[1])
    assert again > build and rows(see("/"))[0] == again


def test_cancelling_a_finished_build_shows_its_result(client: FlaskClient, records: Records) -> None:
    build = records.push()
    records.succeed(build)
    answer = client.post(f"/builds/{build}/cancel", data={"_xsrf": ""}, headers=SAME_SITE)
    assert answer.status_code == 303 and answer.location == f"/builds/{build}"


@pytest.mark.parametrize(
    "changed",
    [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
    ids=str,
)
def test_another_site_cannot_submit_a_form(
    client: FlaskClient, records: Records, database: Database, changed: dict[str, str]
) -> None:
    build = records.push()
    headers = SAME_SITE | changed
    answer = client.post(f"/builds/{build}/cancel", data={"_xsrf": ""}, headers=headers)
    assert answer.status_code == 403
    with database.read() as session:
        assert session.get_one(Build, build).status is Status.QUEUED


def test_a_superseded_build_is_not_shown_as_failed(see: See, records: Records, database: Database) -> None:
    older, newer = records.push("1" * 40), records.push("2" * 40)
    with database.write() as session:
        supersede.supersede(session, session.get_one(Build, newer), cancel=True, now=NOW)
    page = see(f"/builds/{older}").text
    assert "Superseded" in page and f"View build #{newer}" in page
    assert "Why it failed" not in page and "is-failed" not in page


def test_hostile_text_is_escaped_on_every_page(see: See, records: Records, database: Database) -> None:
    ref = "refs/heads/<img/src=x/onerror=alert(1)>"
    build = records.push(ref=ref)
    lease = records.claim(build)
    records.write(lease, HOSTILE, "</pre></noscript><script>alert(2)</script>")
    with database.write() as session:
        row = session.get_one(Build, build)
        row.commit_title = row.commit_author = row.requested_by = HOSTILE
        ended = BuildResult(Status.FAILED, Reason.USER_ERROR, "<b>cause</b>", HOSTILE)
        assert transitions.finish(session, lease, ended, now=NOW)
        deliveries.record(session, guid="g", event="<i>push</i>", action=None, now=NOW)
        deliveries.record_outcome(
            session, "g", outcome="<u>done</u>", detail=HOSTILE, repository_id=row.repository_id
        )
    for path in ("/", f"/builds/{build}", "/gh/org/repo", "/admin", "/?q=<script>alert(3)</script>"):
        page = see(path).text
        assert "\u202e" not in page and "\x1b" not in page
        assert not re.search(r"<(?:img/|b>|i>|u>|script>)", page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in see(f"/builds/{build}").text


def test_a_repository_shows_refs_images_deliveries_and_how_to_connect(
    see: See, records: Records, database: Database
) -> None:
    records.succeed(records.push("1" * 40))
    image = records.succeed(records.push("3" * 40))
    records.fail(records.push("2" * 40, "refs/heads/dev"))
    with database.write() as session:
        repository = repositories.find(session, "gh", "org/repo")
        assert repository is not None
        deliveries.record(session, guid="g", event="push", action=None, now=NOW)
        deliveries.record_outcome(
            session, "g", outcome="skipped", detail="ref_filter", repository_id=repository.id
        )
    page = see("/gh/org/repo").text
    assert "<h1>Org/Repo</h1>" in page and f'data-copy="{image}"' in page
    assert page.index(">main<") < page.index(">dev<")
    assert "Webhook is working" in page and "ref filter" in page
    assert "http://localhost/badge/gh/Org/Repo.svg" in page and "http://localhost/webhook/github" in page
    assert 'role="img" aria-label="Last 2 builds' in page


def test_an_unknown_repository_shows_how_to_connect_it(see: See) -> None:
    page = see("/gh/new/one", 404).text
    assert "new/one" in page and "http://localhost/webhook/github" in page


def test_the_overview_has_figures_builders_and_the_last_failures(
    see: See, records: Records, database: Database
) -> None:
    records.succeed(records.push("1" * 40))
    failed = records.push("2" * 40)
    records.fail(failed)
    running = records.push("3" * 40)
    records.claim(running)  # by the worker "w"
    with database.write() as session:
        builders.record_presence(session, name="w", slots=2, version="0.1.0", started_at=NOW, now=NOW)
        builders.record_presence(
            session, name="gone", slots=1, version="0.1.0", started_at=NOW, now=NOW - timedelta(hours=2)
        )
    page = see("/admin")
    assert rows(page) == [failed]
    assert "50 %" in page.text and "Online" in page.text and "Offline" in page.text
    assert f"Org/Repo #{running}" in page.text and "1 of 2" in page.text
    assert "Package not found" in page.text


@pytest.mark.parametrize(
    "path", ["/nope", "/builds/99", "/builds/x", "/builds/-1", "/builds/99999999999999999999"]
)
def test_a_404_is_a_page_for_browsers_and_json_for_scripts(see: See, client: FlaskClient, path: str) -> None:
    assert "Not found" in see(path, 404).text
    answer = client.get(path)
    assert answer.status_code == 404 and answer.json is not None and "error" in answer.json


def test_an_unreachable_database_is_an_error_page_without_details(
    settings: WebSettings, tmp_path: Path
) -> None:
    without_tables = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    answer = create_app(settings, without_tables).test_client().get("/", headers=HTML)
    without_tables.dispose()
    assert answer.status_code == 503 and answer.headers["Retry-After"]
    assert "cannot reach its database" in answer.text
    assert "no such table" not in answer.text and "SELECT" not in answer.text


def test_copied_urls_use_the_public_url(settings: WebSettings, database: Database) -> None:
    changed = settings.model_copy(update={"public_url": "https://hub.example.org/services/binder"})
    page = create_app(changed, database).test_client().get("/", headers=HTML).text
    assert 'data-copy="https://hub.example.org/services/binder/webhook/github"' in page


def test_pages_and_their_files_are_under_the_base_path(settings: WebSettings, database: Database) -> None:
    changed = settings.model_copy(update={"base_url": "/services/binder/"})
    client = create_app(changed, database).test_client()
    page = client.get("/services/binder/", headers=HTML).text
    addresses = re.findall(r'(?:href|src)="(/[^"]*)"', page)
    assert {"/services/binder/", "/services/binder/static/"} <= {
        one[: one.rfind("/") + 1] for one in addresses
    }
    for address in addresses:
        if address == "/hub/spawn":  # the hub's, on its first steps
            continue
        assert address.startswith("/services/binder/")
        answer = client.get(address, headers=HTML)
        assert answer.status_code == 200, address
        if "/static/" in address:
            assert "max-age=31536000" in answer.headers["Cache-Control"]
        answer.close()
