"""Commit statuses and notifications of real builds, while GitHub's API answers and while it hangs."""

from collections.abc import Callable, Iterator

import pytest

from demo.github.bare_repository import BareRepository
from demo.github.delivery import deliver, push_payload
from tests.acceptance.conftest import Start
from tests.support.github_api import TOKEN, GitHubApi
from tests.support.service import LIMIT, SECRET, Service
from tests.support.stand_in import Answer, StandIn
from tests.support.waiting import wait_until
from webhook.github import signature

pytestmark = pytest.mark.engine

NOTIFY_SECRET = "the receiver's secret"


@pytest.fixture(scope="module")
def api() -> Iterator[GitHubApi]:
    with GitHubApi() as api:
        yield api


@pytest.fixture(scope="module")
def receiver() -> Iterator[StandIn]:
    with StandIn() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def service(start_service: Start, api: GitHubApi, receiver: StandIn) -> Service:
    return start_service(
        GITHUB_API_URL=api.url,
        GITHUB_STATUS_TOKEN=TOKEN,
        PUBLIC_URL="https://hub.example.org/services/binder",
        NOTIFY_URLS=receiver.url,
        NOTIFY_SECRET=NOTIFY_SECRET,
        FORK_PULL_REQUESTS="true",
    )


def wait_for(is_so: Callable[[], object], service: Service) -> None:
    """Wait for a report of the service's builder."""
    wait_until(is_so, LIMIT, lambda: service.log_path("builder").read_text()[-4000:])


def states(api: GitHubApi, name: str, commit: str) -> list[str]:
    return [state for state, _ in api.of(name, commit)]


def test_a_failed_and_a_successful_build_are_reported_to_the_commit_and_the_receiver(
    service: Service, repository: BareRepository, api: GitHubApi, receiver: StandIn
) -> None:
    name = repository.full_name
    bad = repository.commit(service.dockerfile("exit 3"))
    build = service.wait_for(service.push(name, bad)["build"])
    wait_for(lambda: states(api, name, bad)[-1:] == ["failure"], service)
    assert api.of(name, bad)[-1][1] == build["message"][:140]
    assert (
        api.statuses[name, bad][0]["target_url"]
        == f"https://hub.example.org/services/binder/builds/{build['id']}"
    )
    good = repository.commit(service.dockerfile("true"))
    service.wait_for(service.push(name, good)["build"], "succeeded")
    wait_for(lambda: states(api, name, good)[-1:] == ["success"], service)
    for commit in (bad, good):  # an early one may have been overtaken; none came twice
        assert states(api, name, commit)[:-1] in ([], ["pending"])

    def heard() -> list[str]:
        told = [asked.json() for asked in receiver.asked]
        return [one["event"] for one in told if one["build"]["commit"] == good]

    wait_for(lambda: len(heard()) == 3, service)
    assert heard() == ["build.queued", "build.running", "build.succeeded"]
    keys = signature.hmac_keys([NOTIFY_SECRET])
    for asked in receiver.asked:
        assert signature.is_signed(asked.body, asked.headers["X-Repo2hub-Signature-256"], keys)
    for role in ("web", "builder"):
        said = service.log_path(role).read_text()
        assert TOKEN not in said and NOTIFY_SECRET not in said and receiver.url not in said


def test_builds_go_on_while_github_hangs_and_another_builder_reports_them_later(
    service: Service, repository: BareRepository, api: GitHubApi
) -> None:
    name, before = repository.full_name, len(api.asked)
    api.always = Answer(hangs=True)
    commits = []
    for number in range(2):
        commits.append(repository.commit(service.dockerfile(f"echo {number}")))
        # It ends although GitHub has answered no report of it.
        service.wait_for(service.push(name, commits[-1])["build"], "succeeded")
    assert len(api.asked) > before, "no report was tried while GitHub hung"
    assert all(states(api, name, commit) == [] for commit in commits)
    service.stop("builder")
    api.always = None
    api.let_go()
    service.start("builder")
    wait_for(lambda: all(states(api, name, commit)[-1:] == ["success"] for commit in commits), service)


def test_a_pull_request_of_a_fork_is_built_for_the_repository_it_targets(
    service: Service, repository: BareRepository, api: GitHubApi
) -> None:
    name = repository.full_name
    first = repository.commit({"README.md": "hello"})
    service.wait_for(service.push(name, first)["build"])
    proposed = repository.commit(service.dockerfile("true"), branch="theirs", parents=(first,))
    repository.set_ref("refs/pull/1/head", proposed)
    known = push_payload(name, commit=first)["repository"]
    pull = {"number": 1, "head": {"sha": proposed, "ref": "theirs", "repo": {"id": 1, "full_name": "a/b"}}}
    pull["updated_at"] = "2026-11-24T12:00:00Z"
    payload = {"action": "opened", "number": 1, "pull_request": pull, "repository": known}
    answer = deliver(f"{service.url}/webhook/github", "pull_request", payload, secret=SECRET)
    assert answer.status_code == 202, answer.text
    build = service.wait_for(answer.json()["build"], "succeeded")
    assert (build["repository"], build["ref"], build["commit"]) == (name, "refs/pull/1/head", proposed)
    wait_for(lambda: states(api, name, proposed)[-1:] == ["success"], service)
    assert service.image(name)["commit"] == first
