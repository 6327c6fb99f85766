"""Behind a real JupyterHub and before a real git server: who sees what is private, and how much each may build."""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from demo.github.bare_repository import BareRepository
from demo.github.delivery import deliver, push_payload
from demo.github.git_server import GitServer
from tests.acceptance.hub.hub_service import API_TOKEN, Behind, behind_hub, start_web, wait_for
from tests.support.hub import ADMIN
from tests.support.registry import free_port
from tests.support.service import SECRET
from webhook.lookup.resolve import BUILD_MAX_AGE

TOKEN = "token-that-reads-what-is-private"
ACTIVE, PER_HOUR = 2, 4


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory, github: GitServer) -> Iterator[Behind]:
    """A hub where everybody may use the service; nothing is built, so that what is asked for stays queued."""
    folder = tmp_path_factory.mktemp("behind")
    settings = {
        "GITHUB_TOKEN": TOKEN,
        "PRIVATE_ACCESS": "org/*=lab, Other/One_Repo=lab",
        "USER_ACTIVE_BUILDS": str(ACTIVE),
        "USER_BUILDS_PER_HOUR": str(PER_HOUR),
    }
    with behind_hub(folder, github.url, **settings) as behind:
        behind.hub.add_user("alice", "lab")
        yield behind


@pytest.fixture
def secret(github: GitServer) -> BareRepository:
    """A private repository with one commit, which only the service's token can read."""
    repository = github.create(f"Org/secret-{uuid.uuid4().hex[:8]}", token=TOKEN)
    repository.commit({"README.md": "not for all"})
    return repository


@pytest.fixture
def public(repository: BareRepository) -> BareRepository:
    repository.commit({"README.md": "hello"})
    return repository


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def someone(behind: Behind, *groups: str) -> str:
    """Return the token of a new user, who has asked for nothing yet."""
    name = f"user-{uuid.uuid4().hex[:8]}"
    behind.hub.add_user(name, *groups)
    return behind.hub.token(name)


def said(behind: Behind, token: str, repository: str, ref: str) -> str:
    """Return what the build API says."""
    answer = behind.get(f"/build/gh/{repository}/{ref}?build_only=true", token)
    assert answer.status_code == 200
    return answer.text


def test_a_user_without_access_to_a_private_repository_cannot_request_its_build(
    behind: Behind, secret: BareRepository, github: GitServer
) -> None:
    bob, missing = someone(behind), f"Org/missing-{uuid.uuid4().hex[:8]}"
    commit = secret.head()
    assert commit is not None
    for ref in ("main", "HEAD", "nothing-of-the-kind", commit):
        asked = behind.request_build(bob, secret.full_name, ref)
        assert code(asked) == (404, "unknown_repository")
        # As of one that does not exist, word for word.
        words = behind.request_build(bob, missing, ref).json()["error"]["message"]
        assert asked.json()["error"]["message"] == words.replace(missing, secret.full_name)
        found = behind.get(f"/api/v1/images/gh/{secret.full_name}/{ref}", bob)
        assert (found.status_code, found.json()["state"]) == (404, "unknown_repository")
        assert '"code": "unknown_repository"' in said(behind, bob, secret.full_name, ref)
    assert behind.get(f"/api/v1/builds?repository={secret.full_name}", API_TOKEN).json()["builds"] == []


def test_a_private_build_is_visible_to_its_group_and_admins_only(
    behind: Behind, secret: BareRepository
) -> None:
    alice, colleague, bob = behind.hub.token("alice"), someone(behind, "lab"), someone(behind)
    asked = behind.request_build(alice, secret.full_name)
    assert asked.status_code == 202, asked.text
    build = asked.json()["build"]["id"]
    paths = (f"/api/v1/builds/{build}", f"/api/v1/builds/{build}/log", f"/builds/{build}")
    for token in (alice, colleague, behind.hub.token(ADMIN), API_TOKEN):
        assert [behind.get(path, token).status_code for path in paths] == [200] * 3
        listed = behind.get("/api/v1/builds", token).json()["builds"]
        assert build in [one["id"] for one in listed]
        state = behind.get(f"/api/v1/images/gh/{secret.full_name}/main", token).json()["state"]
        assert state == "queued"
    assert [behind.get(path, bob).status_code for path in paths] == [404] * 3
    events = behind.get(f"/api/v1/builds/{build}/log", bob, Accept="text/event-stream")
    assert code(events) == (404, "unknown_build")
    listed = behind.get("/api/v1/builds", bob).json()["builds"]
    assert build not in [one["id"] for one in listed]
    for action in ("cancel", "rebuild"):
        assert code(behind.post(f"/api/v1/builds/{build}/{action}", bob)) == (404, "unknown_build")
    # Known now, and private: nobody is asked any more.
    for ref in ("main", secret.head() or ""):
        found = behind.get(f"/api/v1/images/gh/{secret.full_name}/{ref}", bob)
        assert found.json()["state"] == "unknown_repository"
        assert code(behind.request_build(bob, secret.full_name, ref)) == (404, "unknown_repository")
        assert '"code": "unknown_repository"' in said(behind, bob, secret.full_name, ref)


def test_a_user_who_left_the_group_sees_their_own_build_but_cannot_rebuild_it(
    behind: Behind, secret: BareRepository
) -> None:
    name = f"user-{uuid.uuid4().hex[:8]}"
    behind.hub.add_user(name, "lab")
    build = behind.request_build(behind.hub.token(name), secret.full_name).json()["build"]["id"]
    behind.hub.api("DELETE", "groups/lab/users", {"users": [name]})
    token = behind.hub.token(name)
    assert behind.get(f"/api/v1/builds/{build}", token).status_code == 200
    listed = behind.get("/api/v1/builds", token).json()["builds"]
    assert build in [one["id"] for one in listed]
    assert code(behind.post(f"/api/v1/builds/{build}/rebuild", token)) == (403, "not_yours")
    assert behind.get(f"/api/v1/images/gh/{secret.full_name}/main", token).status_code == 404
    assert behind.post(f"/api/v1/builds/{build}/cancel", token).status_code == 200


def test_a_repository_that_became_private_without_a_delivery_shows_no_newer_commit(
    behind: Behind, public: BareRepository, github: GitServer
) -> None:
    """Without a webhook nobody tells: whoever knows a commit must not have it built with the service's token."""
    bob = someone(behind)
    assert behind.request_build(bob, public.full_name).status_code == 202
    github.make_private(public.full_name, TOKEN)
    newer = public.commit({"README.md": "not for all any more"})
    time.sleep(BUILD_MAX_AGE.total_seconds() + 0.5)  # for as long GitHub's last answer holds
    assert code(behind.request_build(bob, public.full_name, newer)) == (404, "unknown_repository")
    assert '"code": "unknown_repository"' in said(behind, bob, public.full_name, newer)
    listed = behind.get(f"/api/v1/builds?repository={public.full_name}", API_TOKEN).json()["builds"]
    assert newer not in [build["commit"] for build in listed]


def test_a_repository_that_a_delivery_called_private_stays_private(
    behind: Behind, public: BareRepository
) -> None:
    payload = push_payload(public.full_name, commit=public.head() or "", private=True)
    answer = deliver(f"{behind.url}/webhook/github", "push", payload, secret=SECRET)
    assert answer.status_code == 202, answer.text
    bob, alice = someone(behind), someone(behind, "lab")
    for ref in ("main", "no-such-branch"):
        assert code(behind.request_build(bob, public.full_name, ref)) == (404, "unknown_repository")
    assert code(behind.request_build(alice, public.full_name, "no-such-branch")) == (404, "unknown_ref")
    assert code(behind.request_build(bob, public.full_name, "main")) == (404, "unknown_repository")


def test_an_underscore_in_a_name_is_no_wildcard(behind: Behind, github: GitServer) -> None:
    for name in ("Other/one_repo", "Other/oneXrepo"):
        github.create(name, token=TOKEN).commit({"README.md": name})
    alice = someone(behind, "lab")
    built = behind.request_build(API_TOKEN, "Other/oneXrepo").json()["build"]["id"]
    assert behind.get(f"/api/v1/builds/{built}", alice).status_code == 404
    mine = behind.request_build(alice, "Other/one_repo").json()["build"]["id"]
    listed = [one["id"] for one in behind.get("/api/v1/builds", alice).json()["builds"]]
    assert mine in listed and built not in listed


def test_hidden_builds_leave_no_gaps_in_a_page_of_a_list(
    behind: Behind, public: BareRepository, secret: BareRepository
) -> None:
    shown = []
    for number in range(3):
        shown.append(behind.request_build(API_TOKEN, public.full_name, public.commit({"n": str(number)})))
        assert (
            behind.request_build(API_TOKEN, secret.full_name, secret.commit({"n": str(number)})).status_code
            == 202
        )
    expected = [one.json()["build"]["id"] for one in shown]
    bob = someone(behind)
    first = behind.get("/api/v1/builds?limit=2", bob).json()
    assert [one["id"] for one in first["builds"]] == expected[:0:-1]
    second = behind.get(first["next"].removeprefix("/services/binder"), bob).json()
    assert second["builds"][0]["id"] == expected[0]


def test_the_build_of_another_user_is_visible_but_cannot_be_changed(
    behind: Behind, public: BareRepository
) -> None:
    alice, bob = someone(behind), someone(behind)
    build = behind.request_build(alice, public.full_name).json()["build"]["id"]
    assert behind.get(f"/api/v1/builds/{build}", bob).status_code == 200
    for action in ("cancel", "rebuild"):
        refused = behind.post(f"/api/v1/builds/{build}/{action}", bob)
        assert code(refused) == (403, "not_yours")
        assert "admins" in refused.json()["error"]["message"]
    assert behind.post(f"/api/v1/builds/{build}/cancel", alice).json()["outcome"] == "cancelled"
    again = behind.post(f"/api/v1/builds/{build}/rebuild", alice)
    assert again.status_code == 202
    newer = again.json()["build"]["id"]
    assert behind.post(f"/api/v1/builds/{newer}/cancel", behind.hub.token(ADMIN)).status_code == 200


def test_public_pages_are_read_without_a_login_and_start_nothing(
    behind: Behind, public: BareRepository, secret: BareRepository, github: GitServer
) -> None:
    seen = behind.request_build(API_TOKEN, public.full_name).json()["build"]["id"]
    hidden = behind.request_build(API_TOKEN, secret.full_name).json()["build"]["id"]
    settings = {**behind.web.settings, "PUBLIC_PAGES": "true"}
    environ = behind.external.environ(behind.hub)
    second = start_web(behind.web.data_dir, environ, free_port(), github.url, **settings)
    url = f"{second.url}/services/binder"
    try:
        wait_for(url, second.log_path("web"))
        listed = [one["id"] for one in requests.get(f"{url}/api/v1/builds", timeout=30).json()["builds"]]
        assert seen in listed and hidden not in listed
        page = requests.get(f"{url}/", headers={"Accept": "text/html"}, allow_redirects=False, timeout=30)
        assert page.status_code == 200
        assert "Log in" in page.text
        for path, status in ((f"/builds/{seen}", 200), (f"/builds/{hidden}", 404), ("/admin", 403)):
            assert requests.get(f"{url}{path}", timeout=30).status_code == status
        wish = {"repository": public.full_name}
        assert code(requests.post(f"{url}/api/v1/builds", json=wish, timeout=30)) == (401, "token_needed")
        cancel = requests.post(f"{url}/api/v1/builds/{seen}/cancel", json={}, timeout=30)
        assert code(cancel) == (401, "token_needed")
        started = requests.get(f"{url}/build/gh/{public.full_name}/main?build_only=true", timeout=30)
        assert '"code": "token_needed"' in started.text
    finally:
        second.stop_all()


def test_a_user_cannot_exceed_the_limit_of_active_builds(behind: Behind, public: BareRepository) -> None:
    alice, bob, admin = someone(behind), someone(behind), behind.hub.token(ADMIN)
    commits = [public.commit({"n": str(number)}) for number in range(ACTIVE + 3)]
    for commit in commits[:ACTIVE]:
        assert behind.request_build(alice, public.full_name, commit).status_code == 202
    refused = behind.request_build(alice, public.full_name, commits[ACTIVE])
    assert code(refused) == (429, "too_many_builds")
    assert int(refused.headers["Retry-After"]) > 0
    assert "cancel one" in refused.json()["error"]["message"]
    by_build_api = said(behind, alice, public.full_name, commits[ACTIVE])
    assert '"code": "too_many_builds"' in by_build_api and '"status_code": 429' in by_build_api
    # Nothing was asked for in vain, others have their own share, and what is being built costs nothing.
    assert behind.request_build(bob, public.full_name, commits[ACTIVE]).status_code == 202
    joined = behind.request_build(alice, public.full_name, commits[ACTIVE])
    assert (joined.status_code, joined.json()["outcome"]) == (202, "joined")
    for commit in commits[ACTIVE + 1 :]:
        assert behind.request_build(admin, public.full_name, commit).status_code == 202
    mine = behind.request_build(alice, public.full_name, commits[0]).json()["build"]["id"]
    assert behind.post(f"/api/v1/builds/{mine}/cancel", alice).status_code == 200
    assert behind.request_build(alice, public.full_name, commits[0]).status_code == 202


def test_a_user_cannot_exceed_the_limit_of_builds_per_hour(behind: Behind, public: BareRepository) -> None:
    alice = someone(behind)
    for number in range(PER_HOUR):
        asked = behind.request_build(alice, public.full_name, public.commit({"n": str(number)}))
        assert asked.status_code == 202
        build = asked.json()["build"]["id"]
        assert behind.post(f"/api/v1/builds/{build}/cancel", alice).status_code == 200
    for refused in (
        behind.request_build(alice, public.full_name, public.commit({"n": "more"})),
        behind.post(f"/api/v1/builds/{build}/rebuild", alice),
    ):
        assert code(refused) == (429, "too_many_builds")
        assert 3000 < int(refused.headers["Retry-After"]) <= 3600
        assert "Try again at" in refused.json()["error"]["message"]


def test_concurrent_requests_cannot_exceed_the_limit(behind: Behind, public: BareRepository) -> None:
    alice = someone(behind)
    commits = [public.commit({"n": str(number)}) for number in range(8)]
    with ThreadPoolExecutor(len(commits)) as pool:
        asked = pool.map(lambda commit: behind.request_build(alice, public.full_name, commit), commits)
        statuses = sorted(answer.status_code for answer in asked)
    assert statuses == [202] * ACTIVE + [429] * (len(commits) - ACTIVE)
