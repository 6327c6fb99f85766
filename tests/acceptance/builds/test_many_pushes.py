"""Pushes that come faster than builds: each commit once, the newest first, and superseded where that is wanted."""

from collections.abc import Callable

import pytest

from demo.github.bare_repository import BareRepository
from tests.acceptance.standstill import Standstill
from tests.support.service import Service

pytestmark = pytest.mark.engine


@pytest.fixture
def waiting(service: Service) -> Service:
    """The service, whose builder is to be started by the test."""
    service.stop("builder")
    return service


def two_pushes(service: Service, repository: BareRepository) -> tuple[int, int]:
    """Push two commits to one branch in a row and return the builds' ids, the older one first."""
    older, newer = (repository.commit(service.dockerfile(f"echo {word}")) for word in ("older", "newer"))
    first = service.push(repository.full_name, older, pushed_at=1_800_000_000)["build"]
    second = service.push(repository.full_name, newer, before=older, pushed_at=1_800_000_001)["build"]
    assert first != second
    return first, second


def test_one_commit_on_two_branches_is_built_once(waiting: Service, repository: BareRepository) -> None:
    service, name = waiting, repository.full_name
    commit = repository.commit(service.dockerfile("true"))
    first = service.push(name, commit)
    second = service.push(name, commit, ref="refs/heads/topic")
    assert (second["outcome"], second["build"]) == ("joined", first["build"])
    service.start("builder")
    assert service.wait_for(first["build"])["status"] == "succeeded"
    assert service.image(name, "main")["image"] == service.image(name, "topic")["image"]
    assert len(service.get(f"builds?repository={name}")["builds"]) == 1


def test_the_newer_of_two_pushes_to_a_branch_is_built_first_and_both_are_built(
    waiting: Service, repository: BareRepository
) -> None:
    older_id, newer_id = two_pushes(waiting, repository)
    waiting.start("builder")
    older, newer = waiting.wait_for(older_id), waiting.wait_for(newer_id)
    assert (older["status"], newer["status"]) == ("succeeded", "succeeded")
    assert newer["finished_at"] < older["started_at"]


@pytest.fixture(scope="module")
def superseding(start_service: Callable[..., Service]) -> Service:
    return start_service(SUPERSEDE="true")


def test_with_supersede_a_newer_push_cancels_the_queued_build(
    superseding: Service, repository: BareRepository
) -> None:
    superseding.stop("builder")
    older_id, newer_id = two_pushes(superseding, repository)
    superseding.start("builder")
    assert superseding.wait_for(newer_id)["status"] == "succeeded"
    older = superseding.get(f"builds/{older_id}")
    assert (older["status"], older["reason"], older["superseded_by"]) == ("cancelled", "superseded", newer_id)
    assert older["attempt"] == 0


def test_a_running_build_is_not_superseded(
    superseding: Service, repository: BareRepository, standstill: Standstill
) -> None:
    older = repository.commit(superseding.dockerfile(standstill.step))
    first = superseding.push(repository.full_name, older)["build"]
    superseding.wait_for_log(first, "it-stands-still")
    newer = repository.commit(superseding.dockerfile("true"))
    second = superseding.push(repository.full_name, newer, before=older)["build"]
    assert superseding.get(f"builds/{first}")["status"] == "running"
    standstill.go_on()
    assert superseding.wait_for(first)["status"] == "succeeded"
    assert superseding.wait_for(second)["status"] == "succeeded"
