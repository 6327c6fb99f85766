"""The newest image of a ref, alone and in the list of the spawn form, whatever order its commits were built in."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import String, cast, literal, text
from sqlalchemy.orm import Session

from base.repository_names import GIT, GITHUB
from db.database import Database
from db.models import Build, Image, RefHead, Repository
from db.queries import ref_images
from db.queries.visibility import UNRESTRICTED, ReadAccess
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


@pytest.fixture(autouse=True, params=[ref_images.RECENT_IMAGES, 1])
def recent_images(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """List from the newest images alone, and by looking at all refs."""
    monkeypatch.setattr(ref_images, "RECENT_IMAGES", request.param)


@pytest.fixture
def push(database: Database, repository: Repository) -> Push:
    """Record that a ref points at a commit, or that it was deleted."""

    def push_commit(commit: str | None, before: str | None = None, *, ref: str = MAIN, at: int = 1) -> None:
        pushed_at = NOW + timedelta(minutes=at)
        with database.write() as session:
            refs.record_push(
                session, repository, ref=ref, commit=commit, before=before, pushed_at=pushed_at, now=LATER
            )

    return push_commit


def listed(database: Database, **more: object) -> list[int]:
    arguments = {"recipe": RECIPE, "read_access": UNRESTRICTED, "provider": GITHUB, "limit": 10} | more
    with database.read() as session:
        return [found.build_id for found in ref_images.newest_of_refs(session, **arguments)]  # type: ignore[arg-type]


def newest(database: Database, ref: str = MAIN) -> str | None:
    """Return the commit of the newest image of a ref, after checking that the list contains the same."""
    with database.read() as session:
        last = ref_images.newest_of_ref(session, 1, ref)
        found = ref_images.newest_of_refs(session, RECIPE, UNRESTRICTED, provider=GITHUB, limit=10)
    in_list = {row.ref: row.commit for row in found}
    assert len(in_list) == len(found) and in_list.get(ref) == (last and last.commit)
    return in_list.get(ref)


def test_each_ref_is_listed_once_with_the_newest_image_first(database: Database, make: Make) -> None:
    make()
    topic = make(commit="e" * 40, ref=TOPIC)
    newest = make(commit=OTHER, now=NOW + timedelta(minutes=1))
    make(commit="d" * 40, succeeds=False, ref="refs/heads/broken")
    make(commit="c" * 40, recipe="0123456789ab", ref="refs/heads/old-recipe")
    assert listed(database) == [newest.id, topic.id]
    assert listed(database, limit=1) == [newest.id]


def test_images_of_invisible_builds_are_not_listed(database: Database, make: Make, push: Push) -> None:
    visible, other = make(requested_by="ada"), make(commit=OTHER)
    nobody, ada = ReadAccess(everything=False), ReadAccess(everything=False, name="ada")
    assert listed(database, read_access=nobody) == []
    assert listed(database, read_access=ada) == [visible.id]
    push(OTHER, visible.commit)
    assert listed(database) == [other.id]
    assert listed(database, read_access=ada) == [visible.id]
    assert listed(database, read_access=ReadAccess(False, repositories=("org/*",))) == [other.id]
    assert listed(database, provider=GIT) == []


def test_a_fast_forward_merge_has_the_image_of_the_merged_branch(
    database: Database, make: Make, push: Push
) -> None:
    make(A), push(A)
    make(B, ref=TOPIC), push(B, ref=TOPIC)
    assert (newest(database), newest(database, TOPIC)) == (A, B)
    push(B, A, at=2)
    assert (newest(database), newest(database, TOPIC)) == (B, B)
    make(C, succeeds=False), push(C, B, at=3)
    assert newest(database) == B
    make(D, succeeds=False), push(D, C, at=4)
    assert newest(database) == A  # the newest image of the pushes to main


def test_branches_with_equal_heads_share_an_image_and_deleted_branches_are_left_out(
    database: Database, make: Make, push: Push
) -> None:
    make(A), push(A)
    push(A, ref=TOPIC)
    assert newest(database, TOPIC) == A
    make(B, ref=TOPIC), push(B, A, ref=TOPIC, at=2)
    push(None, B, ref=TOPIC, at=3)
    assert listed(database) == [1]


def test_the_image_of_a_rebuilt_older_commit_is_not_the_newest(
    database: Database, make: Make, push: Push
) -> None:
    make(A), push(A)
    make(B), push(B, A, at=2)
    make(A, force=True, trigger=Trigger.MANUAL)
    assert newest(database) == B
    make(C, succeeds=False), push(C, B, at=3)
    assert newest(database) == B


def test_the_image_of_a_late_older_push_is_not_the_newest(database: Database, make: Make, push: Push) -> None:
    make(B), push(B, A, at=2)
    make(A), push(A, at=1)
    assert newest(database) == B


@pytest.mark.slow
def test_the_newest_image_of_a_ref_is_read_by_indexes(database: Database, repository: Repository) -> None:
    of = {"repository_id": repository.id, "recipe": RECIPE}
    state = {"trigger": Trigger.PUSH, "priority": 20, "status": Status.SUCCEEDED}
    times = {"run_after": NOW, "created_at": NOW, "finished_at": NOW}
    ref = literal("refs/heads/", String) + cast(number % 100, String)
    with database.write() as session:
        insert_rows(session, Build, 20_000, **of, **state, **times, commit=commit, ref=ref)
        insert_rows(session, Image, 20_000, **of, build_id=number, commit=commit, name="i", built_at=NOW)
        learnt = {"learnt_at": NOW, "learnt_by": "push"}
        insert_rows(session, RefHead, 100, repository_id=repository.id, ref=ref, commit=commit, **learnt)
        session.execute(text("ANALYZE"))
    plan = plan_of(database, lambda session: ref_images.newest_of_ref(session, repository.id, "refs/heads/7"))
    assert "Seq Scan on build" not in plan and "Seq Scan on image" not in plan, plan
    assert "SCAN" not in plan.replace("SCALAR", ""), plan
    assert "ix_build_repository" in plan and "Sort" not in plan and "TEMP B-TREE" not in plan, plan

    def list_images(session: Session) -> object:
        return ref_images.newest_of_refs(session, RECIPE, UNRESTRICTED, provider=GITHUB, limit=200)

    newest, of_recent, of_all = (plan_of(database, list_images, statement) for statement in range(3))
    assert "ix_image_recipe" in newest and "Sort" not in newest and "TEMP B-TREE" not in newest, newest
    assert "ix_image_recipe" in of_recent, of_recent
    assert "ix_build_repository" in of_all, of_all
    for plan in (of_recent, of_all):
        assert not re.search("Seq Scan on (build|image)|SCAN (build|image|made_by|stepped)", plan), plan
