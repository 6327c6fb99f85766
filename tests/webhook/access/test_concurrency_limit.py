"""Concurrency limits: no user takes every slot."""

import pytest

from webhook.access.concurrency_limit import ConcurrencyLimit, LimitReached
from webhook.access.permissions import ANONYMOUS, API_TOKEN_USER, LOCAL_USER, User

ALICE = User("alice", is_admin=False)
BOB = User("bob", is_admin=False)


def refusal(limit: ConcurrencyLimit, user: User) -> LimitReached | None:
    try:
        limit.acquire(user)
    except LimitReached as exc:
        return exc
    return None


def acquire(limit: ConcurrencyLimit, user: User, count: int) -> None:
    for _ in range(count):
        limit.acquire(user)


def test_a_user_at_their_limit_is_refused_and_others_are_not() -> None:
    limit = ConcurrencyLimit(20, 3, "open logs")
    acquire(limit, ALICE, 3)
    refused = refusal(limit, ALICE)
    assert (
        refused is not None
        and refused.status == 429
        and "You reached your limit of open logs (3)" in str(refused)
    )
    assert refusal(limit, BOB) is None


def test_a_released_slot_can_be_acquired_again() -> None:
    limit = ConcurrencyLimit(20, 3, "open logs")
    acquire(limit, ALICE, 3)
    limit.release(ALICE)
    limit.acquire(ALICE)
    assert refusal(limit, ALICE)


def test_anonymous_users_leave_half_of_the_slots_to_others() -> None:
    limit = ConcurrencyLimit(20, 3, "open logs")
    acquire(limit, ANONYMOUS, 10)
    refused = refusal(limit, ANONYMOUS)
    assert refused is not None and refused.status == 503 and "open logs without a login (10)" in str(refused)
    assert refusal(limit, ALICE) is None


@pytest.mark.parametrize(
    "user",
    [LOCAL_USER, API_TOKEN_USER, User("admin", is_admin=True), User("hub", is_admin=False, is_service=True)],
)
def test_admins_and_services_have_the_total_limit_only(user: User) -> None:
    limit = ConcurrencyLimit(8, 1, "open logs")
    acquire(limit, user, 8)
    refused = refusal(limit, user)
    assert refused is not None and refused.status == 503 and "limit of open logs (8)" in str(refused)
    limit.release(user)
    assert refusal(limit, ALICE) is None


def test_zero_means_no_limit_per_user() -> None:
    limit = ConcurrencyLimit(8, 0, "open logs")
    acquire(limit, ALICE, 8)
    refused = refusal(limit, ALICE)
    assert refused is not None and refused.status == 503


def test_an_anonymous_user_gets_the_only_slot() -> None:
    limit = ConcurrencyLimit(1, 10, "open logs")
    limit.acquire(ANONYMOUS)
    assert refusal(limit, ALICE)


def test_a_limit_of_zero_refuses_everyone() -> None:
    assert refusal(ConcurrencyLimit(0, 10, "open logs"), LOCAL_USER)


def test_released_names_are_not_kept() -> None:
    limit = ConcurrencyLimit(8, 2, "open logs")
    for number in range(100):
        user = User(f"user-{number}", is_admin=False)
        limit.acquire(user)
        limit.release(user)
    assert not limit._used
