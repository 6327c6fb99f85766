"""Who gets a place for following a log: nobody takes them all."""

import pytest

from webhook.access.concurrency_limit import ConcurrencyLimit, LimitReached
from webhook.access.permissions import ANONYMOUS, API_TOKEN_USER, LOCAL_USER, User

ALICE = User("alice", is_admin=False)
BOB = User("bob", is_admin=False)


def refused(places: ConcurrencyLimit, person: User) -> LimitReached | None:
    try:
        places.acquire(person)
    except LimitReached as exc:
        return exc
    return None


def acquire(places: ConcurrencyLimit, person: User, count: int) -> None:
    for _ in range(count):
        places.acquire(person)


def test_a_user_with_all_theirs_is_refused_and_others_are_not() -> None:
    places = ConcurrencyLimit(20, 3, "open logs")
    acquire(places, ALICE, 3)
    no = refused(places, ALICE)
    assert no is not None and no.status == 429 and "You have 3 open logs" in str(no)
    assert refused(places, BOB) is None


def test_a_place_that_was_given_back_is_there_again() -> None:
    places = ConcurrencyLimit(20, 3, "open logs")
    acquire(places, ALICE, 3)
    places.release(ALICE)
    places.acquire(ALICE)
    assert refused(places, ALICE)


def test_those_who_did_not_say_who_they_are_leave_half_to_others() -> None:
    places = ConcurrencyLimit(20, 3, "open logs")
    acquire(places, ANONYMOUS, 10)
    no = refused(places, ANONYMOUS)
    assert no is not None and no.status == 503 and "All 10 places" in str(no) and "login" in str(no)
    assert refused(places, ALICE) is None


@pytest.mark.parametrize(
    "person",
    [LOCAL_USER, API_TOKEN_USER, User("admin", is_admin=True), User("hub", is_admin=False, is_service=True)],
)
def test_who_asks_for_many_is_held_by_all_the_places_alone(person: User) -> None:
    places = ConcurrencyLimit(8, 1, "open logs")
    acquire(places, person, 8)
    no = refused(places, person)
    assert no is not None and no.status == 503 and "All 8 places" in str(no)
    places.release(person)
    assert refused(places, ALICE) is None


def test_zero_means_no_limit_of_a_user() -> None:
    places = ConcurrencyLimit(8, 0, "open logs")
    acquire(places, ALICE, 8)
    no = refused(places, ALICE)
    assert no is not None and no.status == 503


def test_one_place_is_for_anybody() -> None:
    places = ConcurrencyLimit(1, 10, "open logs")
    places.acquire(ANONYMOUS)
    assert refused(places, ALICE)


def test_where_no_log_is_followed_there_is_no_place() -> None:
    assert refused(ConcurrencyLimit(0, 10, "open logs"), LOCAL_USER)


def test_names_that_have_left_are_not_kept() -> None:
    places = ConcurrencyLimit(8, 2, "open logs")
    for number in range(100):
        person = User(f"user-{number}", is_admin=False)
        places.acquire(person)
        places.release(person)
    assert not places._used
