"""A person's share of the builders, counted where builds are made."""

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

SOME = UserQuota(active=2, per_hour=3)


@pytest.fixture
def ask(enqueue: Callable[..., Enqueued]) -> Callable[..., Build]:
    """Have a build asked for by somebody, of a commit by its number."""

    def ask(number: int, by: str | None = "alice", **wish: object) -> Build:
        wish = {"trigger": Trigger.LAUNCH, "requested_by": by, "commit": f"{number:040x}"} | wish
        build = enqueue(**wish).build
        assert build is not None
        return build

    return ask


@pytest.fixture
def exceeded(database: Database) -> Callable[..., quota.QuotaExcess]:
    def exceeded(limits: UserQuota = SOME, by: str = "alice", **later: float) -> quota.QuotaExcess:
        with database.read() as session:
            return quota.find_excess(session, by, limits, NOW + timedelta(**later))

    return exceeded


def test_as_many_as_allowed_are_not_too_many(
    ask: Callable[..., Build], exceeded: Callable[..., quota.QuotaExcess]
) -> None:
    assert not exceeded()
    ask(1)
    ask(2)
    assert not exceeded()
    ask(3)
    assert exceeded() == (3, None)


def test_what_ended_and_what_others_and_pushes_have_is_not_counted(
    ask: Callable[..., Build], exceeded: Callable[..., quota.QuotaExcess], database: Database
) -> None:
    first = ask(1)
    ask(2)
    with database.write() as session:
        transitions.cancel(session, first.id, by=None, now=NOW)
    ask(3, by="bob")
    ask(4, by=None, trigger=Trigger.PUSH)
    assert not exceeded()
    ask(5)
    assert exceeded(SOME._replace(per_hour=4)) == (0, None)


def test_a_running_build_counts_as_a_waiting_one_does(
    ask: Callable[..., Build], exceeded: Callable[..., quota.QuotaExcess], database: Database
) -> None:
    ask(1)
    ask(2)
    with database.write() as session:
        assert transitions.claim(session, worker="w", now=NOW) is not None
    ask(3)
    assert exceeded().active == 3


def test_the_hour_is_over_when_the_oldest_is_an_hour_old(
    ask: Callable[..., Build], exceeded: Callable[..., quota.QuotaExcess], database: Database
) -> None:
    for number, minute in enumerate((0, 10, 20, 30)):
        build = ask(number, now=NOW + timedelta(minutes=minute))
        with database.write() as session:
            transitions.cancel(session, build.id, by=None, now=NOW + timedelta(minutes=minute))
    assert exceeded(minutes=30) == (0, NOW + timedelta(minutes=60))
    assert not exceeded(minutes=60)


def test_none_is_without_limit(ask: Callable[..., Build], exceeded: Callable[..., quota.QuotaExcess]) -> None:
    for number in range(5):
        ask(number)
    assert not exceeded(UserQuota(0, 0))


def test_wishes_of_one_person_at_the_same_moment_are_counted_one_by_one(
    database: Database, repository: Repository
) -> None:
    together = Barrier(6)

    def wish(number: int) -> bool:
        together.wait(30)
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
            if too_many := bool(quota.find_excess(session, "alice", SOME, NOW)):
                session.rollback()
            return not too_many

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(wish, range(6))) == SOME.active
