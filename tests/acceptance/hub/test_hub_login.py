"""Behind a real JupyterHub: logging in, tokens, and what each lets one do."""

from collections.abc import Iterator
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import requests

from tests.acceptance.hub.hub_service import API_TOKEN, PAGE, Behind, Browser, behind_hub, start_web, wait_for
from tests.support.hub import ADMIN
from tests.support.registry import free_port

NOWHERE = "http://127.0.0.1:1"  # no GitHub is asked for anything here
BUILDERS = f"""
c.JupyterHub.load_roles += [
    {{"name": "builders", "groups": ["builders"], "scopes": ["access:services!service=binder"]}},
]
c.JupyterHub.load_groups = {{"builders": {{"users": ["alice", "bob", "{ADMIN}"]}}}}
"""


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """The service behind a hub that lets the group `builders` use it, and nobody else."""
    folder = tmp_path_factory.mktemp("behind")
    with behind_hub(folder, NOWHERE, config=BUILDERS, everybody=False, ADMINS="bob") as behind:
        yield behind


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_token_with_the_scope_gives_access_to_the_api(behind: Behind) -> None:
    scope = behind.external.scope
    for token in (behind.hub.token("alice"), behind.hub.token("alice", [scope]), API_TOKEN):
        answer = behind.get("/api/v1/builds", token)
        assert (answer.status_code, answer.json()["builds"]) == (200, [])
        spelt = {"Authorization": f"token {token}"}
        assert requests.get(f"{behind.url}/api/v1/builds", headers=spelt, timeout=30).status_code == 200


def test_a_token_without_the_scope_gives_no_access(behind: Behind) -> None:
    for token in (behind.hub.token("carol"), behind.hub.token("alice", ["read:users:name!user=alice"])):
        answer = behind.get("/api/v1/builds", token)
        assert code(answer) == (403, "not_allowed")
        assert behind.external.scope in answer.json()["error"]["message"]


@pytest.mark.parametrize("authorization", ["Bearer nonsense", "Bearer", "Basic YWxpY2U6eA==", "nonsense"])
def test_a_token_that_the_hub_does_not_know_gives_no_access(behind: Behind, authorization: str) -> None:
    headers = {"Authorization": authorization, **PAGE}
    answer = requests.get(f"{behind.url}/api/v1/builds", headers=headers, allow_redirects=False, timeout=30)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_revoked_token_gives_no_access(behind: Behind) -> None:
    behind.hub.add_user("dora", "builders")
    token = behind.hub.token("dora")
    behind.hub.revoke("dora", token)
    assert code(behind.get("/api/v1/builds", token)) == (401, "token_needed")


def test_a_script_gets_an_error_and_a_browser_is_redirected_to_the_hub(behind: Behind) -> None:
    script = requests.get(f"{behind.url}/api/v1/builds", allow_redirects=False, timeout=30)
    assert code(script) == (401, "token_needed")
    browser = Browser(behind).visit("/")
    assert urlsplit(browser.url).path == "/hub/login"


def test_after_the_login_a_user_returns_to_the_requested_page(behind: Behind) -> None:
    browser = behind.browser("alice")
    answer = browser.visit("/api/v1/builds?status=failed&limit=5")
    assert answer.url == f"{behind.url}/api/v1/builds?status=failed&limit=5"
    assert answer.json()["builds"] == []
    assert "alice" in browser.visit("/").text
    # And is known from now on, to scripts of our pages too.
    data = browser.session.get(f"{behind.url}/api/v1/builds", allow_redirects=False, timeout=30)
    assert data.status_code == 200


def test_cookies_are_limited_to_this_service_and_hidden_from_scripts_and_other_sites(behind: Behind) -> None:
    browser = behind.browser("alice")
    to_hub = browser.step(f"{behind.url}/")
    begun = to_hub.headers["Set-Cookie"]
    back = browser.step(f"{behind.hub.url}{to_hub.headers['Location']}").headers["Location"]
    done = browser.step(f"{behind.hub.url}{back}").headers["Set-Cookie"]
    for cookie in (begun, done):
        assert "Path=/services/binder/" in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Secure" not in cookie  # this hub speaks http
    over_tls = {**PAGE, "X-Forwarded-Proto": "https"}
    secure = requests.get(
        f"{behind.web.url}/services/binder/", headers=over_tls, allow_redirects=False, timeout=30
    )
    assert "Secure" in secure.headers["Set-Cookie"]


def test_the_hub_refuses_the_login_of_a_user_without_the_scope(behind: Behind) -> None:
    answer = behind.browser("carol").visit("/")
    assert answer.status_code == 403
    assert urlsplit(answer.url).path.startswith("/hub/")


def test_a_logout_from_the_hub_ends_the_session_here_at_once(behind: Behind) -> None:
    browser = behind.browser("alice")
    browser.visit("/")
    assert browser.step(f"{behind.url}/").status_code == 200
    browser.session.get(f"{behind.hub.url}/hub/logout", timeout=30)
    gone = browser.step(f"{behind.url}/")
    assert (gone.status_code, urlsplit(gone.headers["Location"]).path) == (302, "/hub/api/oauth2/authorize")
    assert code(browser.session.get(f"{behind.url}/api/v1/builds", timeout=30)) == (401, "token_needed")


def test_a_logout_here_logs_out_of_the_hub(behind: Behind) -> None:
    browser = behind.browser("alice")
    browser.visit("/")
    left = browser.step(f"{behind.url}/logout")
    assert left.headers["Location"] == "/hub/logout"
    assert browser.step(f"{behind.url}/").status_code == 302


def test_a_cookie_alone_changes_nothing(behind: Behind) -> None:
    browser = behind.browser("alice")
    browser.visit("/")
    wish = {"repository": "org/repo", "ref": "0" * 40}
    posts = (
        browser.post("/api/v1/builds", json=wish),
        browser.post("/api/v1/builds", json=wish, headers={"X-XSRFToken": "0" * 64}),
        browser.post("/api/v1/builds", json=wish, headers={"X-XSRFToken": behind.hub.xsrf(browser.session)}),
        browser.post("/api/v1/builds/1/cancel", data={"_xsrf": "guessed"}),
        browser.post("/builds/1/cancel", data={}),
    )
    assert {code(answer) for answer in posts} == {(403, "xsrf")}
    address = f"{behind.url}/build/gh/org/repo/{'0' * 40}?build_only=true"
    started = browser.session.get(address, headers={"Accept": "text/event-stream"}, timeout=30)
    assert '"code": "xsrf"' in started.text
    assert behind.get("/api/v1/builds", API_TOKEN).json()["builds"] == []


def test_the_xsrf_token_of_a_page_allows_changes(behind: Behind) -> None:
    browser = behind.browser("alice")
    browser.visit("/")
    for spelling in ("X-XSRFToken", "X-Xsrftoken"):
        answer = browser.post("/api/v1/builds/1/cancel", json={}, headers={spelling: browser.xsrf})
        assert code(answer) == (404, "unknown_build")
    form = browser.post("/builds/1/cancel", data={"_xsrf": browser.xsrf})
    assert form.status_code == 404
    # Another session's is none.
    other = behind.browser("bob")
    other.visit("/")
    answer = other.post("/api/v1/builds/1/cancel", json={}, headers={"X-XSRFToken": browser.xsrf})
    assert code(answer) == (403, "xsrf")


def test_a_page_of_another_user_does_not_get_the_xsrf_token(behind: Behind) -> None:
    browser = behind.browser("alice")
    browser.visit("/")
    told = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
    browser.session.cookies.clear(urlsplit(behind.hub.url).hostname, "/services/binder/", "_xsrf")
    elsewhere = {**told, "Referer": f"{behind.hub.url}/user/mallory/lab"}
    for headers in (told, elsewhere):
        answer = browser.session.get(f"{behind.url}/", headers=headers, timeout=30)
        assert "_xsrf" not in answer.headers.get("Set-Cookie", "")
    ours = {**told, "Referer": f"{behind.url}/builds/1"}
    answer = browser.session.get(f"{behind.url}/", headers=ours, timeout=30)
    assert "_xsrf" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "/services/binder/..//evil.example/",
        "/services/binder/%2e%2e/%2e%2e/hub/logout",
        "/services/binder/../../hub/logout",
        "/hub/logout",
        "/services/binder2/",
        "javascript:alert(1)",
        "http:/evil.example",
        "/services/binder/\n//evil.example",
        "/services/binder/logout",
        "",
    ],
)
def test_a_login_redirects_to_pages_of_this_service_only(behind: Behind, wanted: str) -> None:
    browser = behind.browser("alice")
    answer = browser.step(f"{behind.url}/login?next={quote(wanted, safe='')}")
    back = browser.step(f"{behind.hub.url}{answer.headers['Location']}").headers["Location"]
    assert browser.step(f"{behind.hub.url}{back}").headers["Location"] == "/services/binder/"


def test_a_path_keeps_its_escaped_slash_and_its_query_through_a_login(behind: Behind) -> None:
    browser = behind.browser("alice")
    path = "/build/git/https%3A%2F%2Fgit.example.org%2Fo%2Fr/main?build_only=true"
    answer = browser.step(f"{behind.url}{path}")
    back = browser.step(f"{behind.hub.url}{answer.headers['Location']}").headers["Location"]
    assert browser.step(f"{behind.hub.url}{back}").headers["Location"] == f"/services/binder{path}"


@pytest.mark.parametrize("query", ["", "?code=x&state=forged", "?error=access_denied&error_description=no"])
def test_a_callback_without_a_login_logs_nobody_in(behind: Behind, query: str) -> None:
    answer = Browser(behind).step(f"{behind.url}/oauth_callback{query}")
    assert answer.status_code in (400, 403)
    assert "Set-Cookie" not in answer.headers


def test_a_login_cannot_be_finished_in_another_browser(behind: Behind) -> None:
    """Else somebody could log a victim in as themselves, and see what the victim has built."""
    mallory, victim = behind.browser("alice"), behind.browser("bob")
    answer = mallory.step(f"{behind.url}/")
    back = mallory.step(f"{behind.hub.url}{answer.headers['Location']}").headers["Location"]
    refused = victim.step(f"{behind.hub.url}{back}")
    assert refused.status_code == 400
    assert "Start again at" in refused.text


def test_several_logins_at_once_in_one_browser_all_succeed(behind: Behind) -> None:
    browser = behind.browser("alice")
    begun = [browser.step(f"{behind.url}/builds/{tab}").headers["Location"] for tab in range(3)]
    for tab, location in enumerate(begun):
        back = browser.step(f"{behind.hub.url}{location}").headers["Location"]
        assert browser.step(f"{behind.hub.url}{back}").headers["Location"] == f"/services/binder/builds/{tab}"


def test_any_web_process_continues_the_login_of_another(behind: Behind) -> None:
    port = free_port()
    second = start_web(behind.web.data_dir, behind.external.environ(behind.hub), port, NOWHERE)
    try:
        wait_for(f"{second.url}/services/binder", second.log_path("web"))
        browser = behind.browser("alice")
        answer = browser.step(f"{behind.url}/builds/7")
        asked = parse_qs(urlsplit(answer.headers["Location"]).query)
        assert asked["code_challenge_method"] == ["S256"]
        back = browser.step(f"{behind.hub.url}{answer.headers['Location']}").headers["Location"]
        done = browser.step(f"{second.url}{back}")  # cookies know no ports
        assert done.headers["Location"] == "/services/binder/builds/7"
        for address in (second.url, behind.web.url):
            page = browser.step(f"{address}/services/binder/")
            assert (page.status_code, "alice" in page.text) == (200, True)
        browser.visit("/")
        proof = {"X-XSRFToken": browser.xsrf}
        stopped = browser.session.post(
            f"{second.url}/services/binder/api/v1/builds/1/cancel", json={}, headers=proof, timeout=30
        )
        assert code(stopped) == (404, "unknown_build")
    finally:
        second.stop_all()


def test_admins_are_those_of_the_hub_and_of_the_setting(behind: Behind) -> None:
    for name, status in ((ADMIN, 200), ("bob", 200), ("alice", 403)):
        browser = behind.browser(name)
        assert browser.visit("/admin").status_code == status, name
