"""Where refs stand, whatever order the deliveries arrive in."""

from datetime import datetime, timedelta
from itertools import permutations

import pytest

from db.database import Database
from db.models import RefHead, Repository
from db.records import refs
from tests.conftest import NOW

MAIN = "refs/heads/main"
A, B, C = "a" * 40, "b" * 40, "c" * 40
SECOND = timedelta(seconds=1)


class Ref:
    """One branch, to push to."""

    def __init__(self, database: Database, repository: Repository) -> None:
        self.database = database
        self.repository = repository
        self.clock = NOW

    def push(self, commit: str | None, before: str | None = None, at: int | None = None) -> bool:
        self.clock += SECOND
        pushed_at = None if at is None else NOW + at * SECOND
        with self.database.write() as session:
            return refs.record_push(
                session,
                self.repository,
                ref=MAIN,
                commit=commit,
                before=before,
                pushed_at=pushed_at,
                now=self.clock,
            )

    def ask(self, answer: str | None, now: datetime | None = None) -> None:
        self.clock += SECOND
        with self.database.write() as session:
            refs.record_ls_remote(session, self.repository, ref=MAIN, commit=answer, now=now or self.clock)

    @property
    def row(self) -> RefHead:
        with self.database.read() as session:
            found = refs.head(session, self.repository, MAIN)
        assert found is not None
        return found

    @property
    def head(self) -> str | None:
        return self.row.commit


@pytest.fixture
def main(database: Database, repository: Repository) -> Ref:
    return Ref(database, repository)


def test_an_unknown_ref_has_no_head(database: Database, repository: Repository) -> None:
    with database.read() as session:
        assert refs.head(session, repository, MAIN) is None


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])), ids=str)
def test_pushes_are_ordered_by_github_and_not_by_arrival(main: Ref, order: tuple[int, ...]) -> None:
    pushes = {1: (A, None, 1), 2: (B, A, 2), 3: (C, B, 3)}
    for number in order:
        is_newest = main.push(*pushes[number])
        assert is_newest == (number == max(order[: order.index(number) + 1]))
    assert main.head == C


@pytest.mark.parametrize("order", list(permutations([1, 2])), ids=str)
def test_two_pushes_of_one_second_are_ordered_by_what_each_replaced(
    main: Ref, order: tuple[int, ...]
) -> None:
    pushes = {1: (B, A, 5), 2: (C, B, 5)}
    for number in order:
        main.push(*pushes[number])
    assert main.head == C


def test_of_two_pushes_of_one_second_with_one_between_them_unheard_the_last_to_arrive_stands(
    main: Ref,
) -> None:
    main.push(B, A, at=1)
    assert main.push("d" * 40, C, at=1)
    assert main.head == "d" * 40


def test_a_push_back_within_one_second_is_taken_as_it_arrives(main: Ref) -> None:
    assert main.push(B, before=A, at=5)
    assert main.push(A, before=B, at=5)
    assert main.head == A


def test_a_branch_that_was_deleted_and_made_again_in_one_second_stands(main: Ref) -> None:
    assert main.push(A, at=1)
    assert main.push(B, before=None, at=5)  # made again; the deletion of A is still on its way
    assert not main.push(None, before=A, at=5)
    assert main.head == B


def test_a_late_older_push_does_not_revive_a_deleted_branch(main: Ref) -> None:
    main.push(A, at=1)
    assert main.push(None, before=B, at=3)
    assert not main.push(B, before=A, at=2)
    assert main.head is None
    assert not main.push(B, before=A, at=3)
    assert main.head is None


def test_a_branch_can_be_made_again(main: Ref) -> None:
    main.push(None, before=A, at=1)
    assert main.push(B, at=2)
    assert main.head == B


def test_a_late_push_of_the_commit_that_stands_changes_nothing(main: Ref) -> None:
    main.push(A, at=1)
    main.push(B, before=A, at=2)
    main.push(A, before=B, at=3)
    assert main.push(A, at=1)
    assert not main.push(B, before=A, at=2)
    assert (main.head, main.row.pushed_at, main.row.previous) == (A, NOW + 3 * SECOND, B)


def test_without_githubs_time_the_last_to_arrive_wins_and_the_known_time_stays(main: Ref) -> None:
    main.push(B, at=2)
    assert main.push(C, before=B)
    assert main.head == C
    assert not main.push(A, at=1)


def test_an_answer_of_the_provider_is_recorded(main: Ref) -> None:
    main.ask(A)
    main.ask(B)
    assert (main.head, main.row.learnt_by, main.row.learnt_at) == (B, "ls-remote", main.clock)
    main.ask(None)
    assert main.head is None


def test_what_an_answer_replaced_is_known_and_a_push_of_it_that_comes_late_changes_nothing(main: Ref) -> None:
    main.push(B, before=A, at=1)
    main.ask(B)
    assert main.row.previous == A
    main.ask(C)
    assert main.row.previous == B
    assert not main.push(B, before=A, at=1)
    assert main.head == C


def test_an_answer_that_was_asked_for_before_a_push_came_in_does_not_undo_it(main: Ref) -> None:
    main.ask(A)
    asked = main.clock
    main.push(B, before=A, at=1)
    main.ask(A, now=asked)
    assert (main.head, main.row.learnt_by) == (B, "push")


def test_a_push_after_an_answer_of_the_provider_wins(main: Ref) -> None:
    main.push(A, at=1)
    main.ask(B)
    assert main.push(C, before=B, at=9)
    assert (main.head, main.row.learnt_by) == (C, "push")


@pytest.mark.parametrize(
    ("learnt", "since", "trusted"),
    [
        (timedelta(days=-9), timedelta(days=-9), True),
        (timedelta(days=-9), timedelta(days=-8), False),
        (timedelta(days=-9), None, False),
        (timedelta(seconds=-30), None, True),
        (timedelta(seconds=-31), timedelta(seconds=-10), False),
    ],
)
def test_a_head_is_trusted_while_pushes_arrive_or_for_a_short_time(
    learnt: timedelta, since: timedelta | None, trusted: bool
) -> None:
    webhook_since = None if since is None else NOW + since
    max_age = timedelta(seconds=30)
    assert refs.is_trusted(NOW + learnt, webhook_since, now=NOW, max_age=max_age) is trusted


def test_trust_ends_with_the_webhook(database: Database, repository: Repository) -> None:
    with database.write() as session:
        mine = session.merge(repository)
        mine.webhook_since = NOW
        refs.clear_webhook_since(session, mine)
    with database.read() as session:
        assert session.get_one(Repository, repository.id).webhook_since is None
