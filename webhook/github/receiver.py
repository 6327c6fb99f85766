"""The endpoint for GitHub's deliveries: verify, parse, then record and enqueue in one transaction.

It subclasses the `github-webhook` package for its routing and replaces its view, which knows only SHA-1 and one
secret, accepts everything if the secret is empty, verifies forms over an empty body, runs a redelivery twice, and
answers malformed input with 500.

GitHub waits 10 seconds for the response and does not redeliver on its own, so a delivery depends on the database
alone. Without a valid signature nothing is parsed, logged or recorded, and without any signature the body is not
read.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import structlog
from flask import Flask, Response, jsonify, request
from github_webhook import Webhook
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from db.database import Database
from db.queue import enqueue
from db.records import deliveries
from db.sql.group_commit import GroupCommit
from webhook.github import signature
from webhook.github.handlers import DeliveryHandlers, HandlerResult
from webhook.github.payload import GitHubEvent, Ignored, MalformedPayload, action_of, parse_event
from webhook.http.errors import HttpError
from webhook.settings import WebSettings

ENDPOINT = "/webhook/github"
MAX_BODY = 25 * 1024 * 1024
"""Bytes; GitHub sends nothing larger."""
LARGE_DELIVERY = 2**20
"""Bytes above which a delivery is large. Few are."""
MAX_LARGE_DELIVERIES = 8
"""The limit of large deliveries in memory: each takes up to 50 MB, even if its signature turns out to be wrong."""

_ATTEMPTS = 3
_EVENT = re.compile(r"[a-z0-9_]{1,64}")
_GUID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{7,63}")

log = structlog.get_logger()

Handler = Callable[[Session, Any, datetime], HandlerResult]


class RefusedDelivery(HttpError):
    """A delivery that gets an error as its response."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A verified and parsed delivery."""

    guid: str
    event: str
    action: str | None
    parsed_event: GitHubEvent


class Receiver(Webhook):  # type: ignore[misc]  # the package has no types
    """The webhook endpoint of one deployment. Raises signature.NoSecret without a secret.

    `handlers` has the handler of each supported event. It is called in the delivery's transaction.
    """

    def __init__(
        self,
        settings: WebSettings,
        database: Database,
        handlers: Mapping[str, Handler],
        on_outcome: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._handlers = handlers
        self._on_outcome = on_outcome
        self._keys = signature.hmac_keys(secret.get_secret_value() for secret in settings.webhook_secrets)
        self._transactions = GroupCommit(database)
        self._large = threading.BoundedSemaphore(MAX_LARGE_DELIVERIES)
        super().__init__()  # no secret: the package must not verify signatures in its own way

    def _postreceive(self) -> tuple[Response, int]:
        try:
            delivery = self._read_delivery()
        except RefusedDelivery as exc:
            self._on_outcome("refused")
            log.warning("webhook.refused", status=exc.status, code=exc.code, address=request.remote_addr)
            return jsonify(error={"code": exc.code, "message": str(exc)}), exc.status
        result = self._record(delivery)
        self._on_outcome(result.outcome)
        log.info(
            "webhook.received",
            guid=delivery.guid,
            github_event=delivery.event,
            outcome=result.outcome,
            reason=result.reason,
            build=result.build_id,
        )
        return jsonify(_answer(result)), 202 if result.is_queued else 200

    def _read_delivery(self) -> Delivery:
        payload = self._payload()
        event = _header("X-GitHub-Event", _EVENT)
        guid = _header("X-GitHub-Delivery", _GUID)
        try:
            parsed_event = parse_event(event, payload)
        except MalformedPayload as exc:
            raise RefusedDelivery(400, "malformed_payload", f"{exc}.") from exc
        return Delivery(guid, event, action_of(payload), parsed_event)

    def _payload(self) -> dict[str, Any]:
        """Return the verified and decoded payload. Raises RefusedDelivery."""
        given = request.headers.get(signature.HEADER)
        refused = RefusedDelivery(
            401, "bad_signature", f"{signature.HEADER} is missing or wrong. Check the webhook's secret."
        )
        if not signature.is_signature(given):
            raise refused
        with self._large_delivery_slot():
            body = _body()
            if not signature.is_signed(body, given, self._keys):
                raise refused
            return _decode(body)

    @contextmanager
    def _large_delivery_slot(self) -> Iterator[None]:
        """Count a delivery that may be large. Raises RefusedDelivery at the limit of large deliveries."""
        length = request.content_length
        if length is not None and length <= LARGE_DELIVERY:
            yield
            return
        if not self._large.acquire(blocking=False):
            raise RefusedDelivery(
                503, "too_many_large", "Too many large deliveries at once. Redeliver it later."
            )
        try:
            yield
        finally:
            self._large.release()

    def _record(self, delivery: Delivery) -> HandlerResult:
        """Record and handle the delivery in one transaction, and retry conflicts and broken connections.

        GitHub does not redeliver on its own, so without the retry the push would be lost.
        """
        record = partial(self._record_once, delivery=delivery)
        source = getattr(delivery.parsed_event, "source", None)
        lock_order = source.provider_id if source else 0
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._transactions.run(record, lock_order=lock_order)
            except (OperationalError, IntegrityError, enqueue.EnqueueConflict) as exc:
                log.warning("webhook.retried", guid=delivery.guid, error=type(exc).__name__)
        return self._transactions.run(record, lock_order=lock_order)

    def _record_once(self, session: Session, delivery: Delivery) -> HandlerResult:
        now = datetime.now(UTC)
        guid, event, action = delivery.guid, delivery.event, delivery.action
        if not deliveries.record(session, guid=guid, event=event, action=action, now=now):
            return HandlerResult("duplicate", "delivery_seen_before")
        result = self._handle(session, delivery, now)
        deliveries.record_outcome(
            session,
            guid,
            outcome=result.outcome,
            detail=result.reason,
            repository_id=result.repository.id if result.repository else None,
            ref=result.ref,
            commit=result.commit,
            build_id=result.build_id,
        )
        return result

    def _handle(self, session: Session, delivery: Delivery, now: datetime) -> HandlerResult:
        if isinstance(delivery.parsed_event, Ignored):
            return HandlerResult("ignored", delivery.parsed_event.reason)
        return self._handlers[delivery.event](session, delivery.parsed_event, now)


def register(
    app: Flask,
    settings: WebSettings,
    database: Database,
    endpoint: str = ENDPOINT,
    on_outcome: Callable[[str], None] = lambda _: None,
) -> Receiver:
    """Serve GitHub's deliveries at `endpoint`, and call `on_outcome` with the outcome of each.

    Raises NoSecret without a secret.
    """
    handlers = DeliveryHandlers(settings, settings.recipe())
    by_event: dict[str, Handler] = {
        "push": handlers.push,
        "pull_request": handlers.pull_request,
        "ping": handlers.ping,
        "meta": handlers.hook_removed,
        "repository": handlers.repository,
        "public": handlers.repository,
    }
    receiver = Receiver(settings, database, by_event, on_outcome)
    receiver.init_app(app, endpoint)
    return receiver


def _body() -> bytes:
    """Return the raw bytes of the request, which GitHub signs whatever the content type is."""
    # One byte more than is allowed: a body without a length is cut at the limit, not refused.
    request.max_content_length = MAX_BODY + 1
    try:
        body = request.get_data(cache=False, parse_form_data=False)
    except RequestEntityTooLarge:
        body = None
    except HTTPException as exc:
        raise RefusedDelivery(400, "incomplete", "The body is incomplete.") from exc
    if body is None or len(body) > MAX_BODY:
        raise RefusedDelivery(413, "too_large", "The delivery is larger than 25 MiB.")
    if len(body) < (request.content_length or 0):
        raise RefusedDelivery(400, "incomplete", "The body is incomplete.")
    return body


def _decode(body: bytes) -> dict[str, Any]:
    match request.mimetype:
        case "application/json":
            text: str | bytes = body
        case "application/x-www-form-urlencoded":
            text = _form_payload(body)
        case _:
            raise RefusedDelivery(
                415,
                "unsupported_content_type",
                "Content-Type must be application/json or application/x-www-form-urlencoded.",
            )
    try:
        payload = json.loads(text)
    # RecursionError: a few kilobytes of nested brackets.
    except (ValueError, RecursionError) as exc:
        raise RefusedDelivery(400, "bad_json", "The payload is not valid JSON.") from exc
    if not isinstance(payload, dict):
        raise RefusedDelivery(400, "malformed_payload", "The payload must be a JSON object.")
    return payload


def _form_payload(body: bytes) -> str:
    try:
        fields = parse_qs(body.decode(), errors="strict", max_num_fields=16)
        (payload,) = fields["payload"]
    except (ValueError, KeyError) as exc:
        raise RefusedDelivery(400, "bad_form", "The form must have exactly one field, payload.") from exc
    return payload


def _header(name: str, pattern: re.Pattern[str]) -> str:
    value = request.headers.get(name)
    if value is None:
        raise RefusedDelivery(400, "missing_header", f"The header {name} is missing.")
    if not pattern.fullmatch(value):
        raise RefusedDelivery(400, "bad_header", f"The header {name} is invalid.")
    return value


def _answer(result: HandlerResult) -> dict[str, object]:
    answer = {
        "outcome": result.outcome,
        "reason": result.reason,
        "repository": result.repository and result.repository.full_name,
        "ref": result.ref,
        "commit": result.commit,
        "build": result.build_id,
        "cancelled": result.cancelled or None,
    }
    return {name: value for name, value in answer.items() if value is not None}
