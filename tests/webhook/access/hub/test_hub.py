"""What is asked of a hub, and for how long an answer holds. A hub that hangs or fails at will is played here; all
else is tested against real ones in tests/acceptance."""

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from jupyterhub.services.auth import HubOAuth

from webhook.access.hub import client as hub_module
from webhook.access.hub.client import CACHE_AGE, HubClient
from webhook.access.hub.user_rules import HubUserRules
from webhook.http.errors import HttpError

SCOPE = "access:services!service=binder"


@dataclass
class StandIn:
    """Answers GET /user: `users` by token, a `status` for all where one is set; nothing while it is closed."""

    users: dict[str, dict[str, Any]]
    status: int | None = None
    questions: int = 0
    open: threading.Event = field(default_factory=threading.Event)

    def start(self) -> str:
        stand_in = self
        self.open.set()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stand_in.questions += 1
                stand_in.open.wait(30)
                user = stand_in.users.get(self.headers["Authorization"].removeprefix("Bearer "))
                body = json.dumps(user).encode()
                self.send_response(stand_in.status or (200 if user else 403))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(BrokenPipeError):  # whoever asked has given up
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def stop(self) -> None:
        self.open.set()
        self._http.shutdown()
        self._http.server_close()


def user(name: str, **more: Any) -> dict[str, Any]:
    return {"kind": "user", "name": name, "admin": False, "groups": [], "scopes": [SCOPE]} | more


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    stand_in = StandIn({"t-alice": user("alice", groups=["lab", "class"])})
    yield stand_in
    stand_in.stop()


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hub(stand_in: StandIn, clock: Clock) -> HubClient:
    oauth = HubOAuth(
        api_url=stand_in.start(),
        api_token="a-token",
        oauth_client_id="service-binder",
        base_url="/services/binder/",
        access_scopes={SCOPE},
    )
    rules = HubUserRules(frozenset({"erin"}), (("org/*", "lab"), ("org/x", "other")))
    return HubClient(oauth, rules, clock)


def test_an_answer_is_cached_for_a_minute(hub: HubClient, stand_in: StandIn, clock: Clock) -> None:
    assert hub.user("t-alice") is not None
    stand_in.users.clear()  # the token is revoked
    clock.now = CACHE_AGE
    assert hub.user("t-alice") is not None
    assert stand_in.questions == 1
    clock.now = CACHE_AGE + 0.1
    assert hub.user("t-alice") is None
    assert hub.user("t-alice") is None
    assert stand_in.questions == 2
    assert CACHE_AGE <= 60


def test_a_new_hub_session_does_not_use_the_cached_answer(hub: HubClient, stand_in: StandIn) -> None:
    assert hub.user("t-alice", "session-1") is not None
    stand_in.users.clear()
    assert hub.user("t-alice", "session-1") is not None
    assert hub.user("t-alice", "") is None


def test_a_user_has_the_repositories_of_their_groups(hub: HubClient, stand_in: StandIn) -> None:
    alice = hub.user("t-alice")
    assert alice is not None
    assert (alice.name, alice.is_admin) == ("alice", False)
    assert alice.repositories == ("org/*",)
    stand_in.users |= {"t-root": user("root", admin=True), "t-erin": user("erin")}
    for token in ("t-root", "t-erin"):
        admin = hub.user(token)
        assert admin is not None and admin.is_admin


def test_names_reserved_for_tokens_and_services_are_rejected(hub: HubClient, stand_in: StandIn) -> None:
    stand_in.users |= {
        "t-1": user("api token"),
        "t-2": user("service:culler"),
        "t-3": user("culler", kind="service"),
    }
    for token in ("t-1", "t-2"):
        with pytest.raises(HttpError) as refused:
            hub.user(token)
        assert refused.value.code == "reserved_name"
    service = hub.user("t-3")
    assert service is not None and service.name == "service:culler"


@pytest.mark.parametrize(
    ("scopes", "may_enter"),
    [
        ([SCOPE], True),
        (["access:services"], True),
        (["access:services!service=other"], False),
        (["access:servers!user=alice", "read:users:name!user=alice"], False),
        ([], False),
    ],
)
def test_access_requires_the_services_scope(
    hub: HubClient, stand_in: StandIn, scopes: list[str], may_enter: bool
) -> None:
    stand_in.users["t-bob"] = user("bob", scopes=scopes)
    if may_enter:
        assert hub.user("t-bob") is not None
        return
    for _ in range(2):  # from what is remembered, too
        with pytest.raises(HttpError) as refused:
            hub.user("t-bob")
        assert (refused.value.status, SCOPE in str(refused.value)) == (403, True)


def test_a_failing_hub_is_a_503(hub: HubClient, stand_in: StandIn) -> None:
    stand_in.status = 502
    with pytest.raises(HttpError) as away:
        hub.user("t-alice")
    assert (away.value.status, away.value.code) == (503, "hub_unavailable")
    stand_in.status = None
    assert hub.user("t-alice") is not None


@pytest.mark.parametrize("token", ["t-\u00e9", "t\r\nX: y", "t\x00", "\udc80"])
def test_a_token_that_is_no_valid_header_is_not_sent(hub: HubClient, stand_in: StandIn, token: str) -> None:
    assert hub.user(token) is None
    assert stand_in.questions == 0


def test_a_hanging_hub_blocks_few_threads_for_a_short_time(
    hub: HubClient, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "_TIME_LIMIT", (3.05, 2))
    stand_in.open.clear()
    codes: list[str] = []

    def ask(number: int) -> None:
        with pytest.raises(HttpError) as away:
            hub.user(f"t-{number}")
        codes.append(away.value.code)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert codes == ["hub_unavailable"] * 40
    assert stand_in.questions <= 16
