"""The endpoint that GitHub delivers to: verify, then read, then record and enqueue in one transaction.

It stands on the `github-webhook` package, whose routing and registry of handlers it keeps and whose view it
replaces: that one knows only SHA-1 and one secret, authenticates nothing where the secret is empty, signs
form deliveries over an empty body, runs a redelivery twice, and answers hostile input with 500.

GitHub waits 10 seconds for the answer and does not deliver again by itself, so nothing here asks anybody but
the database. Of a delivery whose signature does not hold, nothing is parsed, logged or recorded, and without one
the body is not even read.
"""

import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
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
"""Bytes above which a delivery is a large one, as few are."""
MAX_LARGE_DELIVERIES = 8
"""How many of these are held at once: each takes up to 50 MB, also where its signature turns out to be made up."""

_ATTEMPTS = 3
_EVENT = re.compile(r"[a-z0-9_]{1,64}")
_GUID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{7,63}")

log = structlog.get_logger()

Handler = Callable[[Session, Any, datetime], HandlerResult]


class RefusedDelivery(HttpError):
    """A delivery that gets an error as its response."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery that was verified and understood."""

    guid: str
    event: str
    action: str | None
    parsed_event: GitHubEvent


class Receiver(Webhook):  # type: ignore[misc]  # the package has no types
    """The webhook endpoint of one deployment. Raises signature.NoSecret if it is given no secret.

    A handler registered with `hook(event)` gets (session, happening, now) inside the delivery's transaction
    and returns its Effect.
    """

    def __init__(
        self, settings: WebSettings, database: Database, on_outcome: Callable[[str], None] = lambda _: None
    ) -> None:
        self._on_outcome = on_outcome
        self._keys = signature.hmac_keys(secret.get_secret_value() for secret in settings.webhook_secrets)
        self._transactions = GroupCommit(database)
        self._large = threading.BoundedSemaphore(MAX_LARGE_DELIVERIES)
        self._hooks: dict[str, list[Handler]] = defaultdict(list)
        super().__init__()  # without a secret: the package would check it its own way

    def init_app(self, app: Flask, endpoint: str = ENDPOINT, secret: None = None) -> None:
        """Serve deliveries at `endpoint`. The handlers stay, where the package would forget them."""
        hooks = self._hooks
        super().init_app(app, endpoint, secret)
        self._hooks = hooks

    def _postreceive(self) -> tuple[Response, int]:
        try:
            delivery = self._read_delivery()
        except RefusedDelivery as exc:
            self._on_outcome("refused")
            log.warning("webhook.refused", status=exc.status, code=exc.code, address=request.remote_addr)
            return jsonify(error={"code": exc.code, "message": str(exc)}), exc.status
        effect = self._record(delivery)
        self._on_outcome(effect.outcome)
        log.info(
            "webhook.received",
            guid=delivery.guid,
            github_event=delivery.event,
            outcome=effect.outcome,
            reason=effect.reason,
            build=effect.build_id,
        )
        return jsonify(_answer(effect)), 202 if effect.is_queued else 200

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
        """Return what was sent and signed. Raises RefusedDelivery."""
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
        """Hold one of the places for a large delivery, if this may be one. Raises Refused where all are taken."""
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
        """Write the delivery and its effects, all or nothing, and try again where the database asks for it.

        Two deliveries about one thing at once can stand in each other's way, and a connection can break: the
        push would be lost for good, since GitHub does not send it again.
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
        effect = self._handle(session, delivery, now)
        deliveries.record_outcome(
            session,
            guid,
            outcome=effect.outcome,
            detail=effect.reason,
            repository_id=effect.repository.id if effect.repository else None,
            ref=effect.ref,
            commit=effect.commit,
            build_id=effect.build_id,
        )
        return effect

    def _handle(self, session: Session, delivery: Delivery, now: datetime) -> HandlerResult:
        if isinstance(delivery.parsed_event, Ignored):
            return HandlerResult("ignored", delivery.parsed_event.reason)
        effects = [handler(session, delivery.parsed_event, now) for handler in self._hooks[delivery.event]]
        return effects[0]


def register(
    app: Flask,
    settings: WebSettings,
    database: Database,
    endpoint: str = ENDPOINT,
    on_outcome: Callable[[str], None] = lambda _: None,
) -> Receiver:
    """Serve GitHub's deliveries at `endpoint` of the application, and tell `on_outcome` the outcome of each.

    Raises NoSecret without a secret.
    """
    receiver = Receiver(settings, database, on_outcome)
    effects = DeliveryHandlers(settings, settings.recipe())
    receiver.hook("push")(effects.push)
    receiver.hook("pull_request")(effects.pull_request)
    receiver.hook("ping")(effects.ping)
    receiver.hook("meta")(effects.hook_removed)
    receiver.hook("repository")(effects.repository)
    receiver.hook("public")(effects.repository)
    receiver.init_app(app, endpoint)
    return receiver


def _body() -> bytes:
    """Return the raw bytes of the request, which are what GitHub signed, whatever their content type."""
    # One byte more than is allowed, since a body without a length is cut at the limit and not refused.
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


def _answer(effect: HandlerResult) -> dict[str, object]:
    answer = {
        "outcome": effect.outcome,
        "reason": effect.reason,
        "repository": effect.repository and effect.repository.full_name,
        "ref": effect.ref,
        "commit": effect.commit,
        "build": effect.build_id,
        "cancelled": effect.cancelled or None,
    }
    return {name: value for name, value in answer.items() if value is not None}
