"""Ref heads are right whatever the order in which deliveries arrive."""

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
    """A branch that tests can push to."""

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

    def ls_remote(self, commit: str | None, now: datetime | None = None) -> None:
        self.clock += SECOND
        with self.database.write() as session:
            refs.record_ls_remote(session, self.repository, ref=MAIN, commit=commit, now=now or self.clock)

    @property
    def row(self) -> RefHead:
        with self.database.read() as session:
            row = refs.head(session, self.repository, MAIN)
        assert row is not None
        return row

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
def test_pushes_are_ordered_by_githubs_time_and_not_by_arrival(main: Ref, order: tuple[int, ...]) -> None:
    pushes = {1: (A, None, 1), 2: (B, A, 2), 3: (C, B, 3)}
    for number in order:
        is_newest = main.push(*pushes[number])
        assert is_newest == (number == max(order[: order.index(number) + 1]))
    assert main.head == C


@pytest.mark.parametrize("order", list(permutations([1, 2])), ids=str)
def test_pushes_within_a_second_are_ordered_by_the_commits_they_replaced(
    main: Ref, order: tuple[int, ...]
) -> None:
    pushes = {1: (B, A, 5), 2: (C, B, 5)}
    for number in order:
        main.push(*pushes[number])
    assert main.head == C


def test_the_last_push_to_arrive_wins_if_a_push_between_two_of_the_same_second_is_missing(
    main: Ref,
) -> None:
    main.push(B, A, at=1)
    assert main.push("d" * 40, C, at=1)
    assert main.head == "d" * 40


def test_a_push_that_reverts_another_within_a_second_wins(main: Ref) -> None:
    assert main.push(B, before=A, at=5)
    assert main.push(A, before=B, at=5)
    assert main.head == A


def test_a_branch_deleted_and_created_again_within_a_second_exists(main: Ref) -> None:
    assert main.push(A, at=1)
    assert main.push(B, before=None, at=5)  # created again; the deletion of A arrives later
    assert not main.push(None, before=A, at=5)
    assert main.head == B


def test_a_late_older_push_does_not_restore_a_deleted_branch(main: Ref) -> None:
    main.push(A, at=1)
    assert main.push(None, before=B, at=3)
    assert not main.push(B, before=A, at=2)
    assert main.head is None
    assert not main.push(B, before=A, at=3)
    assert main.head is None


def test_a_deleted_branch_can_be_created_again(main: Ref) -> None:
    main.push(None, before=A, at=1)
    assert main.push(B, at=2)
    assert main.head == B


def test_a_late_push_of_the_current_commit_changes_nothing(main: Ref) -> None:
    main.push(A, at=1)
    main.push(B, before=A, at=2)
    main.push(A, before=B, at=3)
    assert main.push(A, at=1)
    assert not main.push(B, before=A, at=2)
    assert (main.head, main.row.pushed_at, main.row.previous) == (A, NOW + 3 * SECOND, B)


def test_without_githubs_time_the_last_push_to_arrive_wins_and_the_known_time_stays(main: Ref) -> None:
    main.push(B, at=2)
    assert main.push(C, before=B)
    assert main.head == C
    assert not main.push(A, at=1)


def test_an_answer_of_ls_remote_is_recorded(main: Ref) -> None:
    main.ls_remote(A)
    main.ls_remote(B)
    assert (main.head, main.row.learnt_by, main.row.learnt_at) == (B, "ls-remote", main.clock)
    main.ls_remote(None)
    assert main.head is None


def test_a_late_push_of_a_commit_that_ls_remote_replaced_changes_nothing(main: Ref) -> None:
    main.push(B, before=A, at=1)
    main.ls_remote(B)
    assert main.row.previous == A
    main.ls_remote(C)
    assert main.row.previous == B
    assert not main.push(B, before=A, at=1)
    assert main.head == C


def test_an_answer_of_ls_remote_requested_before_a_push_does_not_undo_the_push(main: Ref) -> None:
    main.ls_remote(A)
    requested_at = main.clock
    main.push(B, before=A, at=1)
    main.ls_remote(A, now=requested_at)
    assert (main.head, main.row.learnt_by) == (B, "push")


def test_a_push_after_an_answer_of_ls_remote_wins(main: Ref) -> None:
    main.push(A, at=1)
    main.ls_remote(B)
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
def test_a_head_is_trusted_while_pushes_arrive_or_until_max_age(
    learnt: timedelta, since: timedelta | None, trusted: bool
) -> None:
    webhook_since = None if since is None else NOW + since
    max_age = timedelta(seconds=30)
    assert refs.is_trusted(NOW + learnt, webhook_since, now=NOW, max_age=max_age) is trusted


def test_clear_webhook_since_ends_the_trust_in_heads(database: Database, repository: Repository) -> None:
    with database.write() as session:
        merged = session.merge(repository)
        merged.webhook_since = NOW
        refs.clear_webhook_since(session, merged)
    with database.read() as session:
        assert session.get_one(Repository, repository.id).webhook_since is None
