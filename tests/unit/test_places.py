"""Who gets a place for following a log: nobody takes them all."""

import pytest

from webhook.person import ANYBODY, OWNER, TOKEN, Person
from webhook.places import NoPlace, Places

ALICE = Person("alice", is_admin=False)
BOB = Person("bob", is_admin=False)


def refused(places: Places, person: Person) -> NoPlace | None:
    try:
        places.take(person)
    except NoPlace as exc:
        return exc
    return None


def take(places: Places, person: Person, count: int) -> None:
    for _ in range(count):
        places.take(person)


def test_a_user_with_all_theirs_is_refused_and_others_are_not() -> None:
    places = Places(20, 3, "open logs")
    take(places, ALICE, 3)
    no = refused(places, ALICE)
    assert no is not None and no.status == 429 and "You have 3 open logs" in str(no)
    assert refused(places, BOB) is None


def test_a_place_that_was_given_back_is_there_again() -> None:
    places = Places(20, 3, "open logs")
    take(places, ALICE, 3)
    places.free(ALICE)
    places.take(ALICE)
    assert refused(places, ALICE)


def test_those_who_did_not_say_who_they_are_leave_half_to_others() -> None:
    places = Places(20, 3, "open logs")
    take(places, ANYBODY, 10)
    no = refused(places, ANYBODY)
    assert no is not None and no.status == 503 and "All 10 places" in str(no) and "login" in str(no)
    assert refused(places, ALICE) is None


@pytest.mark.parametrize(
    "person", [OWNER, TOKEN, Person("admin", is_admin=True), Person("hub", is_admin=False, is_service=True)]
)
def test_who_asks_for_many_is_held_by_all_the_places_alone(person: Person) -> None:
    places = Places(8, 1, "open logs")
    take(places, person, 8)
    no = refused(places, person)
    assert no is not None and no.status == 503 and "All 8 places" in str(no)
    places.free(person)
    assert refused(places, ALICE) is None


def test_zero_means_no_limit_of_a_user() -> None:
    places = Places(8, 0, "open logs")
    take(places, ALICE, 8)
    no = refused(places, ALICE)
    assert no is not None and no.status == 503


def test_one_place_is_for_anybody() -> None:
    places = Places(1, 10, "open logs")
    places.take(ANYBODY)
    assert refused(places, ALICE)


def test_where_no_log_is_followed_there_is_no_place() -> None:
    assert refused(Places(0, 10, "open logs"), OWNER)


def test_names_that_have_left_are_not_kept() -> None:
    places = Places(8, 2, "open logs")
    for number in range(100):
        person = Person(f"user-{number}", is_admin=False)
        places.take(person)
        places.free(person)
    assert not places._taken
