"""The metrics that Prometheus scrapes."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
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
    """Scrape the metrics, and return their values by name and labels."""

    def scrape() -> dict[str, float]:
        response = client.get("/metrics")
        assert response.status_code == 200 and response.content_type.startswith("text/plain; version=")
        samples = re.findall(r"^(\w+(?:\{[^}]*\})?) (\S+)$", response.text, re.MULTILINE)
        return {name: float(value) for name, value in samples}

    return scrape


def test_the_queue_and_builds_are_read_from_the_database(read: Read, records: Records, clock: Clock) -> None:
    first = records.push()
    second = records.push("b" * 40)
    clock.now += timedelta(seconds=90)
    values = read()
    assert (values["repo2hub_queue_depth"], values["repo2hub_queue_oldest_seconds"]) == (2, 90)
    lease = records.claim(first)
    values = read()
    assert (values["binderhub_inprogress_builds"], values["repo2hub_queue_depth"]) == (1, 1)
    records.finish(lease)  # after nine seconds
    records.fail(second)
    values = read()
    assert values['binderhub_build_count_total{provider="gh",status="success"}'] == 1
    assert values['binderhub_build_count_total{provider="gh",status="failure"}'] == 1
    assert values['binderhub_build_time_seconds_bucket{le="5.0",status="success"}'] == 0
    assert values['binderhub_build_time_seconds_bucket{le="10.0",status="success"}'] == 1
    assert values['binderhub_build_time_seconds_count{status="success"}'] == 1
    assert values['binderhub_build_time_seconds_sum{status="success"}'] == 9
    assert (values["repo2hub_queue_depth"], values["repo2hub_queue_oldest_seconds"]) == (0, 0)
    assert read() == values  # another scrape counts nothing twice


def test_all_processes_export_the_same_build_counts(
    read: Read, records: Records, settings: WebSettings, database: Database
) -> None:
    records.succeed(records.push())
    read()
    records.succeed(records.push("b" * 40))
    other_process = create_app(settings, database).test_client().get("/metrics").text
    line = 'binderhub_build_count_total{provider="gh",status="success"} 2.0'
    assert line in other_process
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
    values = read()
    assert values['repo2hub_lookups_total{result="hit"}'] == 1
    assert values['repo2hub_lookups_total{result="miss"}'] == 1
    assert values['repo2hub_build_requests_total{outcome="cached"}'] == 1
    assert values['repo2hub_build_requests_total{outcome="refused"}'] == 1
    assert values['repo2hub_deliveries_total{outcome="refused"}'] == 1
    assert sum(value for name, value in values.items() if name.startswith("repo2hub_deliveries_total")) == 2
    assert values["repo2hub_open_streams"] == 0


def test_metrics_contain_no_repository_names(client: FlaskClient, records: Records) -> None:
    records.push()
    client.get("/build/gh/org/repo/main?build_only=true").close()
    assert client.get("/health").json["checks"][-1]["open"] == 0  # type: ignore[index]
    metrics = client.get("/metrics").text.lower()
    assert "org/repo" not in metrics and COMMIT not in metrics


def test_metrics_show_that_the_database_is_down(client: FlaskClient, database: Database, read: Read) -> None:
    with database.write() as session:
        session.execute(text("ALTER TABLE build RENAME TO was_build"))
    assert read()["repo2hub_database_up"] == 0


def test_a_deleted_build_causes_no_error(read: Read, records: Records, database: Database) -> None:
    build = records.push()
    read()
    with database.write() as session:
        session.execute(text("DELETE FROM build WHERE id = :id"), {"id": build})
    assert read()["repo2hub_queue_depth"] == 0
