"""The endpoint for deliveries: which are accepted, which are rejected, and that each is handled at most once."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from base.settings import SettingsError
from db.columns import Base
from db.database import Database
from db.models import Build, Delivery, RefHead, Repository
from db.queue.enqueue import EnqueueConflict
from db.records import repositories
from tests.webhook.conftest import OLD_SECRET, Deliver
from tests.webhook.github.deliveries import MAIN, TWO, push
from webhook.github.handlers import HandlerResult
from webhook.github.payload import Push
from webhook.github.receiver import (
    ENDPOINT,
    LARGE_DELIVERY,
    MAX_BODY,
    MAX_LARGE_DELIVERIES,
    Handler,
    Receiver,
    register,
)
from webhook.github.signature import HEADER, sign
from webhook.settings import WebSettings

LIMIT = 20.0
SIGNATURE = "sha256=" + "0" * 64
"""A well-formed signature."""
NESTED = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


def count(database: Database, model: type[Base]) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def test_a_signed_push_is_queued(deliver: Deliver, database: Database, settings: WebSettings) -> None:
    answer = deliver("push", push())
    with database.read() as session:
        build = session.scalars(select(Build)).one()
        delivery = session.scalars(select(Delivery)).one()
    assert answer.status_code == 202
    assert answer.json == {
        "outcome": "queued",
        "repository": "Org/Repo",
        "ref": MAIN,
        "commit": TWO,
        "build": build.id,
    }
    assert (build.ref, build.commit, build.recipe) == (MAIN, TWO, settings.recipe())
    assert (build.trigger, build.commit_title, build.commit_author) == ("push", "Add a plot", "ada")
    assert (delivery.event, delivery.outcome, delivery.build_id) == ("push", "queued", build.id)
    assert (delivery.ref, delivery.commit, delivery.repository_id) == (MAIN, TWO, build.repository_id)


def test_the_old_secret_is_accepted_during_a_rotation(deliver: Deliver) -> None:
    assert deliver("push", push(), secret=OLD_SECRET).status_code == 202


@pytest.mark.parametrize(
    "header",
    ["", "sha256=", "sha256=" + "0" * 64, "sha1=" + "0" * 40, "sha256=\xe9\xff", sign(b"", b"wrong")],
)
def test_a_delivery_with_a_wrong_signature_is_neither_parsed_nor_recorded_nor_logged(
    deliver: Deliver, database: Database, header: str
) -> None:
    with capture_logs() as logs:
        answer = deliver.raw(b'{"ref": "hostile', X_Hub_Signature_256=header, X_GitHub_Event="hostile")
    assert answer.status_code == 401
    assert answer.json is not None and answer.json["error"]["code"] == "bad_signature"
    assert count(database, Delivery) == 0
    assert [entry["event"] for entry in logs] == ["webhook.refused"]
    assert "hostile" not in str(logs)


def test_a_sha1_signature_alone_is_rejected(deliver: Deliver) -> None:
    answer = deliver.raw(b"{}", X_Hub_Signature_256="", X_Hub_Signature="sha1=" + "0" * 40)
    assert answer.status_code == 401


def test_the_signature_of_a_form_covers_the_whole_body(deliver: Deliver) -> None:
    assert deliver("push", push(), form=True).status_code == 202


def test_a_signature_of_an_empty_body_does_not_sign_a_form(deliver: Deliver) -> None:
    form = "application/x-www-form-urlencoded"
    empty = sign(b"", OLD_SECRET.encode())
    assert deliver.raw(b"payload={}", content_type=form, X_Hub_Signature_256=empty).status_code == 401


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"", {}, "bad_json"),
        (b"{", {}, "bad_json"),
        (b"\xff\xfe\xfa", {}, "bad_json"),
        (NESTED, {}, "bad_json"),
        (b"1" * 5000, {}, "bad_json"),
        (b"[]", {}, "malformed_payload"),
        (b"null", {}, "malformed_payload"),
        (b"{}", {}, "malformed_payload"),
        (b"{}", {"X_GitHub_Event": ""}, "missing_header"),
        (b"{}", {"X_GitHub_Delivery": ""}, "missing_header"),
        (b"{}", {"X_GitHub_Event": "Push!"}, "bad_header"),
        (b"{}", {"X_GitHub_Event": "p" * 65}, "bad_header"),
        (b"{}", {"X_GitHub_Delivery": "short"}, "bad_header"),
        (b"{}", {"X_GitHub_Delivery": "a" * 65}, "bad_header"),
        (b"{}", {"X_GitHub_Delivery": "'; DROP TABLE build; --"}, "bad_header"),
        (b"{}", {"X_GitHub_Delivery": "caf\xe9-caf\xe9-caf\xe9"}, "bad_header"),
        (b"other=1", {"content_type": "application/x-www-form-urlencoded"}, "bad_form"),
        (b"payload={}&payload={}", {"content_type": "application/x-www-form-urlencoded"}, "bad_form"),
        (b"payload=%ff", {"content_type": "application/x-www-form-urlencoded"}, "bad_form"),
        (b"payload={}" + b"&a=1" * 20, {"content_type": "application/x-www-form-urlencoded"}, "bad_form"),
        (b"payload=[]", {"content_type": "application/x-www-form-urlencoded"}, "malformed_payload"),
    ],
)
def test_an_invalid_delivery_is_rejected(
    deliver: Deliver, database: Database, body: bytes, headers: dict[str, str], code: str
) -> None:
    answer = deliver.raw(body, **headers)
    assert answer.json is not None
    assert (answer.status_code, answer.json["error"]["code"]) == (400, code)
    assert count(database, Delivery) == 0


def test_the_response_names_an_invalid_field(deliver: Deliver) -> None:
    answer = deliver("push", push(after="HEAD"))
    assert answer.status_code == 400
    assert answer.json == {
        "error": {"code": "malformed_payload", "message": "after must be 40 or 64 hexadecimal digits."}
    }


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x"])
def test_other_content_types_are_rejected(deliver: Deliver, content_type: str) -> None:
    answer = deliver.raw(b"{}", content_type=content_type)
    assert answer.status_code == 415
    assert answer.json is not None and answer.json["error"]["code"] == "unsupported_content_type"


def test_a_content_type_with_a_charset_is_accepted(deliver: Deliver) -> None:
    body = json.dumps(push()).encode()
    assert deliver.raw(body, content_type="application/json; charset=utf-8").status_code == 202


class Unread:
    """A body that must not be read."""

    def read(self, _size: int = -1) -> bytes:
        raise AssertionError("it was read")


class Pending:
    """A body that never arrives."""

    def __init__(self, begun: threading.Semaphore, over: threading.Event) -> None:
        self._begun, self._over = begun, over

    def read(self, _size: int = -1) -> bytes:
        self._begun.release()
        self._over.wait(LIMIT)
        return b""


def _send(deliver: Deliver, body: object, length: int, header: str = SIGNATURE) -> TestResponse:
    """Send a body as servers do whose streams end by themselves, even if too early."""
    environ = {"CONTENT_LENGTH": str(length), "wsgi.input": body, "wsgi.input_terminated": True}
    return deliver.client.post(ENDPOINT, headers={HEADER: header}, environ_overrides=environ)


@pytest.mark.parametrize("header", ["", "sha256=", "sha1=" + "0" * 40, "sha256=" + "x" * 64])
def test_without_a_signature_the_body_is_not_read(deliver: Deliver, header: str) -> None:
    assert _send(deliver, Unread(), MAX_BODY, header).status_code == 401


def test_the_number_of_large_deliveries_in_memory_is_limited(deliver: Deliver) -> None:
    begun, over = threading.Semaphore(0), threading.Event()
    with ThreadPoolExecutor(MAX_LARGE_DELIVERIES) as pool:
        bodies = [Pending(begun, over) for _ in range(MAX_LARGE_DELIVERIES)]
        held = [pool.submit(_send, deliver, body, LARGE_DELIVERY + 1) for body in bodies]
        try:
            assert all(begun.acquire(timeout=LIMIT) for _ in held)
            refused = _send(deliver, Unread(), LARGE_DELIVERY + 1)
            assert deliver("push", push()).status_code == 202
        finally:
            over.set()
    assert {one.result().status_code for one in held} == {400}
    assert refused.status_code == 503
    assert refused.json is not None and refused.json["error"]["code"] == "too_many_large"
    large = push(commits=[{"message": "x" * LARGE_DELIVERY}], after="4" * 40)
    assert deliver("push", large).status_code == 202


def test_an_incomplete_body_is_not_reported_as_a_wrong_signature(deliver: Deliver) -> None:
    answer = _send(deliver, BytesIO(b"{}"), 9)
    assert answer.status_code == 400
    assert answer.json is not None and answer.json["error"]["code"] == "incomplete"


@pytest.mark.parametrize("in_chunks", [False, True])
def test_bodies_over_25_mib_are_rejected(deliver: Deliver, in_chunks: bool) -> None:
    body = b" " * (MAX_BODY + 1)
    # A chunked body has no length.
    chunked: dict[str, Any] = {
        "headers": {HEADER: SIGNATURE, "Transfer-Encoding": "chunked"},
        "content_length": None,
    }
    how = {**chunked, "environ_overrides": {"wsgi.input_terminated": True}} if in_chunks else {}
    given = {"content_length": len(body), "headers": {HEADER: SIGNATURE}}
    answer = deliver.client.post(ENDPOINT, input_stream=BytesIO(body), **(given | how))
    assert answer.status_code == 413
    assert answer.json is not None and answer.json["error"]["code"] == "too_large"


def test_a_large_push_is_accepted(deliver: Deliver) -> None:
    payload = push(commits=[{"message": "x" * 1024} for _ in range(2048)])
    assert deliver("push", payload, form=True).status_code == 202


def test_only_post_is_allowed(deliver: Deliver) -> None:
    assert deliver.client.get(ENDPOINT).status_code == 405


def test_a_redelivery_changes_nothing(deliver: Deliver, database: Database) -> None:
    guid = str(uuid4())
    first, second = deliver("push", push(), guid=guid), deliver("push", push(), guid=guid)
    assert (first.status_code, second.status_code) == (202, 200)
    assert second.json == {"outcome": "duplicate", "reason": "delivery_seen_before"}
    assert (count(database, Build), count(database, Delivery)) == (1, 1)


def fails_once(error: Exception) -> Handler:
    """Return a push handler that records a repository, and raises the error the first time."""
    errors = [error]

    def handler(session: Session, push: Push, now: datetime) -> HandlerResult:
        repository = repositories.record(session, full_name=push.source.full_name, now=now)
        if errors:
            raise errors.pop()
        return HandlerResult("done", repository=repository)

    return handler


def test_a_failed_delivery_is_not_recorded_and_can_be_redelivered(
    settings: WebSettings, database: Database
) -> None:
    app = Flask("tests")
    Receiver(settings, database, {"push": fails_once(ZeroDivisionError())}).init_app(app, ENDPOINT)
    deliver, guid = Deliver(app.test_client()), str(uuid4())
    assert deliver("push", push(), guid=guid).status_code == 500
    assert (count(database, Delivery), count(database, Repository)) == (0, 0)
    assert deliver("push", push(), guid=guid).json == {"outcome": "done", "repository": "Org/Repo"}


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("INSERT", {}, ConnectionError()),
        IntegrityError("INSERT", {}, ValueError()),
        EnqueueConflict("the active build ended while it was being joined"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_push_is_retried_after_a_conflict_in_the_database(
    settings: WebSettings, database: Database, error: Exception
) -> None:
    app = Flask("tests")
    Receiver(settings, database, {"push": fails_once(error)}).init_app(app, ENDPOINT)
    answer = Deliver(app.test_client())("push", push())
    assert (answer.status_code, count(database, Delivery)) == (200, 1)


@pytest.mark.parametrize("secrets", [(), (SecretStr(""),), (SecretStr(""), SecretStr("  "))])
def test_the_application_does_not_start_without_a_secret(
    settings: WebSettings, database: Database, secrets: tuple[SecretStr, ...]
) -> None:
    app = Flask("tests")
    with pytest.raises(SettingsError, match="REPO2HUB_WEBHOOK_SECRETS"):
        register(app, settings.model_copy(update={"webhook_secrets": secrets}), database)
    assert app.test_client().post(ENDPOINT).status_code == 404


def test_a_receiver_can_serve_two_applications(settings: WebSettings, database: Database) -> None:
    receiver = register(Flask("first"), settings, database)
    second = Flask("second")
    receiver.init_app(second, ENDPOINT)
    assert Deliver(second.test_client())("push", push()).status_code == 202


def test_a_delivery_is_logged_by_its_guid_and_outcome(deliver: Deliver) -> None:
    guid = str(uuid4())
    with capture_logs() as logs:
        answer = deliver("push", push(), guid=guid)
    assert answer.json is not None
    assert logs == [
        {
            "event": "webhook.received",
            "log_level": "info",
            "guid": guid,
            "github_event": "push",
            "outcome": "queued",
            "reason": None,
            "build": answer.json["build"],
        }
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=())),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=5,
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    event=st.sampled_from(["push", "ping", "meta", "repository", "public", "issues"]),
    changes=st.dictionaries(st.sampled_from([*push(), "action", "hook", "organization"]), JSON),
    message=st.text(st.characters(exclude_categories=())),
    name=st.text(st.characters(exclude_categories=())),
)
def test_no_payload_causes_a_server_error(
    deliver: Deliver, event: str, changes: dict[str, Any], message: str, name: str
) -> None:
    payload = push(message=message) | changes
    head = payload["head_commit"]
    if isinstance(head, dict) and "author" in head:
        head["author"] = {"name": name}
    assert deliver(event, payload).status_code in (200, 202, 400)


@pytest.fixture(params=["sqlite", "postgresql"])
def both(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


def test_concurrent_deliveries_are_each_handled_once(both: str, settings: WebSettings) -> None:
    database = Database(both)
    app = Flask("tests")
    register(app, settings, database)
    commits = [f"{number:040x}" for number in range(1, 11)]
    guids = {commit: str(uuid4()) for commit in commits}

    def send(commit: str) -> int:
        payload = push(commit, ref=f"refs/heads/{commit[-2:]}")
        return Deliver(app.test_client())("push", payload, guid=guids[commit]).status_code

    with ThreadPoolExecutor(8) as threads:
        answers = sorted(threads.map(send, commits * 4))
    found = [count(database, model) for model in (Build, Delivery, RefHead, Repository)]
    database.dispose()
    assert answers == [200] * 30 + [202] * 10
    assert found == [10, 10, 10, 1]
