"""What anybody may ask of the service: health, versions, metrics, providers."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from sqlalchemy import text

from db.database import Database
from tests.conftest import COMMIT
from tests.webhook.conftest import Deliver
from tests.webhook.records import Clock, Records
from webhook.app import create_app
from webhook.settings import WebSettings


@pytest.fixture
def app(settings: WebSettings, database: Database, clock: Clock) -> Flask:
    return create_app(settings, database, clock=clock)


Read = Callable[[], dict[str, float]]


@pytest.fixture
def read(client: FlaskClient) -> Read:
    """Scrape the metrics: values by name and labels."""

    def scrape() -> dict[str, float]:
        answer = client.get("/metrics")
        assert answer.status_code == 200 and answer.content_type.startswith("text/plain; version=")
        found = re.findall(r"^(\w+(?:\{[^}]*\})?) (\S+)$", answer.text, re.MULTILINE)
        return {name: float(value) for name, value in found}

    return scrape


def test_the_queue_and_the_builds_are_counted_from_the_records(
    read: Read, records: Records, clock: Clock
) -> None:
    first = records.push()
    second = records.push("b" * 40)
    clock.now += timedelta(seconds=90)
    seen = read()
    assert (seen["repo2hub_queue_depth"], seen["repo2hub_queue_oldest_seconds"]) == (2, 90)
    lease = records.claim(first)
    seen = read()
    assert (seen["binderhub_inprogress_builds"], seen["repo2hub_queue_depth"]) == (1, 1)
    records.finish(lease)  # after nine seconds
    records.fail(second)
    seen = read()
    assert seen['binderhub_build_count_total{provider="gh",status="success"}'] == 1
    assert seen['binderhub_build_count_total{provider="gh",status="failure"}'] == 1
    assert seen['binderhub_build_time_seconds_bucket{le="5.0",status="success"}'] == 0
    assert seen['binderhub_build_time_seconds_bucket{le="10.0",status="success"}'] == 1
    assert seen['binderhub_build_time_seconds_count{status="success"}'] == 1
    assert seen['binderhub_build_time_seconds_sum{status="success"}'] == 9
    assert (seen["repo2hub_queue_depth"], seen["repo2hub_queue_oldest_seconds"]) == (0, 0)
    assert read() == seen  # nothing is counted twice


def test_a_process_that_starts_later_says_the_same_of_the_builds(
    read: Read, records: Records, settings: WebSettings, database: Database
) -> None:
    records.succeed(records.push())
    read()
    records.succeed(records.push("b" * 40))
    later = create_app(settings, database).test_client().get("/metrics").text
    line = 'binderhub_build_count_total{provider="gh",status="success"} 2.0'
    assert line in later
    assert read()['binderhub_build_count_total{provider="gh",status="success"}'] == 2


def test_lookups_requests_and_deliveries_are_counted(
    read: Read, client: FlaskClient, records: Records, deliver: Deliver
) -> None:
    records.succeed(records.push())
    client.get("/api/v1/images/gh/org/repo/main")
    client.get(f"/api/v1/images/gh/org/repo/{'b' * 40}")
    client.get("/build/gh/org/repo/main?build_only=true")
    client.get("/build/nothing/x?build_only=true")
    deliver("ping", {"zen": "Keep it logically awesome.", "hook_id": 1, "hook": {}})
    deliver("push", {}, secret="wrong")
    seen = read()
    assert seen['repo2hub_lookups_total{result="hit"}'] == 1
    assert seen['repo2hub_lookups_total{result="miss"}'] == 1
    assert seen['repo2hub_build_requests_total{outcome="cached"}'] == 1
    assert seen['repo2hub_build_requests_total{outcome="refused"}'] == 1
    assert seen['repo2hub_deliveries_total{outcome="refused"}'] == 1
    assert sum(value for name, value in seen.items() if name.startswith("repo2hub_deliveries_total")) == 2
    assert seen["repo2hub_open_streams"] == 0


def test_metrics_name_no_repository(client: FlaskClient, records: Records) -> None:
    records.push()
    client.get("/build/gh/org/repo/main?build_only=true").close()
    assert client.get("/health").json["checks"][-1]["open"] == 0  # type: ignore[index]
    told = client.get("/metrics").text.lower()
    assert "org/repo" not in told and COMMIT not in told


def test_without_the_database_the_metrics_say_so(client: FlaskClient, database: Database, read: Read) -> None:
    with database.write() as session:
        session.execute(text("ALTER TABLE build RENAME TO was_build"))
    assert read()["repo2hub_database_up"] == 0


def test_a_build_that_is_gone_from_the_records_is_no_error(
    read: Read, records: Records, database: Database
) -> None:
    build = records.push()
    read()
    with database.write() as session:
        session.execute(text("DELETE FROM build WHERE id = :id"), {"id": build})
    assert read()["repo2hub_queue_depth"] == 0


@pytest.mark.parametrize("path", ["/health", "/versions", "/metrics", "/api/repoproviders"])
def test_all_of_it_is_open_to_everybody(settings: WebSettings, database: Database, path: str) -> None:
    changes = {"auth": "token", "api_tokens": (SecretStr("s3cret"),)}
    client = create_app(settings.model_copy(update=changes), database).test_client()
    for host in ("localhost", "hub.example"):
        assert client.get(path, headers={"Host": host}).status_code == 200
        assert client.head(path, headers={"Host": host}).status_code == 200


def test_providers_are_described_as_binderhub_does(client: FlaskClient) -> None:
    providers = client.get("/api/repoproviders").json
    assert isinstance(providers, list) and [one["id"] for one in providers] == ["gh", "git"]
    for one in providers:
        assert {"displayName", "spec", "repo", "ref"} <= set(one)
        assert re.fullmatch(one["spec"]["validateRegex"], "org/repo/main")
        assert one["ref"] == {"enabled": True, "default": "HEAD"}


def test_versions_may_be_read_by_any_page(client: FlaskClient) -> None:
    answer = client.get("/versions")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.json is not None and "binderhub" in answer.json
