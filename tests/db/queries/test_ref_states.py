"""The newest image of a ref, alone and in the list of the spawn page, whatever order its commits were built in."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import String, cast, false, literal, text, true

from db.database import Database
from db.models import Build, Image, RefHead, Repository
from db.queries import ref_images, ref_states
from db.records import refs
from db.status import Status, Trigger
from tests.conftest import NOW, RECIPE
from tests.db.numbered_rows import commit, insert_rows, number
from tests.db.processes import LATER
from tests.db.queue.test_claim_plan import plan_of
from tests.db.records.test_images import OTHER, Make, make

__all__ = ["make"]

MAIN, TOPIC = "refs/heads/main", "refs/heads/topic"
A, B, C, D = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)
Push = Callable[..., None]


@pytest.fixture
def push(database: Database, repository: Repository) -> Push:
    """Let a ref stand at a commit, or at none."""

    def stand(commit: str | None, before: str | None = None, *, ref: str = MAIN, at: int = 1) -> None:
        pushed_at = NOW + timedelta(minutes=at)
        with database.write() as session:
            refs.record_push(
                session, repository, ref=ref, commit=commit, before=before, pushed_at=pushed_at, now=LATER
            )

    return stand


def listed(database: Database, **more: object) -> list[int]:
    wanted = {"recipe": RECIPE, "visible": true(), "limit": 10} | more
    with database.read() as session:
        return [one.build.id for one in ref_images.newest_of_refs(session, **wanted)]  # type: ignore[arg-type]


def newest(database: Database, ref: str = MAIN) -> str | None:
    """Return the commit of the newest image of a ref, which is the same in the list."""
    with database.read() as session:
        last = ref_images.newest_of_ref(session, 1, ref)
        found = ref_images.newest_of_refs(session, RECIPE, visible=true(), limit=10)
    in_list = {one.ref: one.image.commit for one in found}
    assert len(in_list) == len(found) and in_list.get(ref) == (last and last.commit)
    return in_list.get(ref)


def test_each_ref_is_listed_once_with_its_newest_image_first(database: Database, make: Make) -> None:
    make()
    topic = make(commit="e" * 40, ref=TOPIC)
    newest = make(commit=OTHER, now=NOW + timedelta(minutes=1))
    make(commit="d" * 40, good=False, ref="refs/heads/broken")
    make(commit="c" * 40, recipe="0123456789ab", ref="refs/heads/old-recipe")
    assert listed(database) == [newest.id, topic.id]
    assert listed(database, limit=1) == [newest.id]


def test_what_somebody_may_not_see_is_not_listed(database: Database, make: Make, push: Push) -> None:
    mine, other = make(), make(commit=OTHER)
    assert listed(database, visible=false()) == []
    assert listed(database, visible=Build.id == mine.id) == [mine.id]
    push(OTHER, mine.commit)
    assert listed(database) == [other.id]
    assert listed(database, visible=Build.id == mine.id) == [mine.id]


def test_a_merge_that_is_a_fast_forward_has_the_image_of_the_branch(
    database: Database, make: Make, push: Push
) -> None:
    make(A), push(A)
    make(B, ref=TOPIC), push(B, ref=TOPIC)
    assert (newest(database), newest(database, TOPIC)) == (A, B)
    push(B, A, at=2)
    assert (newest(database), newest(database, TOPIC)) == (B, B)
    make(C, good=False), push(C, B, at=3)
    assert newest(database) == B
    make(D, good=False), push(D, C, at=4)
    assert newest(database) == A  # all that is known of main


def test_a_repositorys_page_shows_the_build_of_the_commit_that_a_ref_stands_at(
    database: Database, repository: Repository, make: Make, push: Push
) -> None:
    make(A, good=False), push(A)
    good = make(B, ref=TOPIC)
    push(B, A, at=2)
    make(A, good=False, trigger=Trigger.MANUAL)
    with database.read() as session:
        (state,), _ = ref_states.list_ref_states(session, repository)
    assert state.build is not None and state.image is not None
    assert (state.head.ref, state.build.id, state.image.build_id) == (MAIN, good.id, good.id)


def test_a_branch_on_anothers_commit_has_its_image_and_a_deleted_one_is_left_out(
    database: Database, make: Make, push: Push
) -> None:
    make(A), push(A)
    push(A, ref=TOPIC)
    assert newest(database, TOPIC) == A
    make(B, ref=TOPIC), push(B, A, ref=TOPIC, at=2)
    push(None, B, ref=TOPIC, at=3)
    assert listed(database) == [1]


def test_an_older_commit_that_is_built_again_is_not_the_newest(
    database: Database, make: Make, push: Push
) -> None:
    make(A), push(A)
    make(B), push(B, A, at=2)
    make(A, force=True, trigger=Trigger.MANUAL)
    assert newest(database) == B
    make(C, good=False), push(C, B, at=3)
    assert newest(database) == B


def test_an_older_push_that_comes_late_is_not_the_newest(database: Database, make: Make, push: Push) -> None:
    make(B), push(B, A, at=2)
    make(A), push(A, at=1)
    assert newest(database) == B


@pytest.mark.slow
def test_the_newest_image_of_a_ref_is_found_by_indices(database: Database, repository: Repository) -> None:
    of = {"repository_id": repository.id, "recipe": RECIPE}
    how = {"trigger": Trigger.PUSH, "priority": 20, "status": Status.SUCCEEDED}
    times = {"run_after": NOW, "created_at": NOW, "finished_at": NOW}
    ref = literal("refs/heads/", String) + cast(number % 100, String)
    with database.write() as session:
        insert_rows(session, Build, 20_000, **of, **how, **times, commit=commit, ref=ref)
        insert_rows(session, Image, 20_000, **of, build_id=number, commit=commit, name="i", built_at=NOW)
        learnt = {"learnt_at": NOW, "learnt_by": "push"}
        insert_rows(session, RefHead, 100, repository_id=repository.id, ref=ref, commit=commit, **learnt)
        session.execute(text("ANALYZE"))
    plan = plan_of(database, lambda session: ref_images.newest_of_ref(session, repository.id, "refs/heads/7"))
    assert "Seq Scan on build" not in plan and "Seq Scan on image" not in plan, plan
    assert "SCAN" not in plan.replace("SCALAR", ""), plan
    assert "ix_build_repository" in plan and "Sort" not in plan and "TEMP B-TREE" not in plan, plan
