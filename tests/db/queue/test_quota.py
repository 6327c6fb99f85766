"""User quotas: how many builds of a user count, and when the next request is possible."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest

from db.database import Database
from db.models import Build, Repository
from db.queue import enqueue, quota, transitions
from db.queue.enqueue import Enqueued
from db.queue.quota import UserQuota
from db.status import Trigger
from tests.conftest import NOW, RECIPE

QUOTA = UserQuota(active=2, per_hour=3)


@pytest.fixture
def request_build(enqueue: Callable[..., Enqueued]) -> Callable[..., Build]:
    """Enqueue the build of a numbered commit for a user."""

    def request_build(number: int, by: str | None = "alice", **request: object) -> Build:
        request = {"trigger": Trigger.LAUNCH, "requested_by": by, "commit": f"{number:040x}"} | request
        build = enqueue(**request).build
        assert build is not None
        return build

    return request_build


@pytest.fixture
def exceeded(database: Database) -> Callable[..., quota.QuotaExcess]:
    def exceeded(limits: UserQuota = QUOTA, by: str = "alice", **later: float) -> quota.QuotaExcess:
        with database.read() as session:
            return quota.find_excess(session, by, limits, NOW + timedelta(**later))

    return exceeded


def test_the_quota_is_exceeded_only_above_its_limit(
    request_build: Callable[..., Build], exceeded: Callable[..., quota.QuotaExcess]
) -> None:
    assert not exceeded()
    request_build(1)
    request_build(2)
    assert not exceeded()
    request_build(3)
    assert exceeded() == (3, None)


def test_ended_builds_and_builds_of_others_and_pushes_do_not_count_as_active(
    request_build: Callable[..., Build], exceeded: Callable[..., quota.QuotaExcess], database: Database
) -> None:
    first = request_build(1)
    request_build(2)
    with database.write() as session:
        transitions.cancel(session, first.id, by=None, now=NOW)
    request_build(3, by="bob")
    request_build(4, by=None, trigger=Trigger.PUSH)
    assert not exceeded()
    request_build(5)
    assert exceeded(QUOTA._replace(per_hour=4)) == (0, None)


def test_running_builds_count_as_active(
    request_build: Callable[..., Build], exceeded: Callable[..., quota.QuotaExcess], database: Database
) -> None:
    request_build(1)
    request_build(2)
    with database.write() as session:
        assert transitions.claim(session, worker="w", now=NOW) is not None
    request_build(3)
    assert exceeded().active == 3


def test_the_next_request_is_possible_an_hour_after_the_oldest(
    request_build: Callable[..., Build], exceeded: Callable[..., quota.QuotaExcess], database: Database
) -> None:
    for number, minute in enumerate((0, 10, 20, 30)):
        build = request_build(number, now=NOW + timedelta(minutes=minute))
        with database.write() as session:
            transitions.cancel(session, build.id, by=None, now=NOW + timedelta(minutes=minute))
    assert exceeded(minutes=30) == (0, NOW + timedelta(minutes=60))
    assert not exceeded(minutes=60)


def test_a_limit_of_zero_means_no_limit(
    request_build: Callable[..., Build], exceeded: Callable[..., quota.QuotaExcess]
) -> None:
    for number in range(5):
        request_build(number)
    assert not exceeded(UserQuota(0, 0))


def test_concurrent_requests_of_a_user_count_each_other(database: Database, repository: Repository) -> None:
    barrier = Barrier(6)

    def request_build(number: int) -> bool:
        barrier.wait(30)
        with database.write() as session:
            quota.lock_user(session, "alice")
            enqueue.enqueue(
                session,
                repository=repository,
                ref="",
                commit=f"{number:040x}",
                recipe=RECIPE,
                trigger=Trigger.LAUNCH,
                requested_by="alice",
                now=NOW,
            )
            if exceeds := bool(quota.find_excess(session, "alice", QUOTA, NOW)):
                session.rollback()
            return not exceeds

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(request_build, range(6))) == QUOTA.active
