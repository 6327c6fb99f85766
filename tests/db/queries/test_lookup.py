"""The statement of a lookup, on both databases."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from db.database import Database
from db.models import Build, Repository
from db.queries import lookup
from db.records import images, refs, repositories
from tests.conftest import COMMIT, NOW, RECIPE

REFS = ("refs/heads/main", "refs/tags/main", "refs/main")


def _push(database: Database, repository: Repository, ref: str, commit: str | None) -> None:
    with database.write() as session:
        refs.record_push(session, repository, ref=ref, commit=commit, before=None, pushed_at=NOW, now=NOW)


def _image(database: Database, build: Build, recipe: str = RECIPE) -> None:
    with database.write() as session:
        images.record(session, build=build, recipe=recipe, name=f"i:{recipe}", digest="d", size=1, now=NOW)


def test_a_ref_is_found_with_its_commit_and_image(
    database: Database, repository: Repository, queued_build: Build
) -> None:
    _push(database, repository, "refs/heads/main", COMMIT)
    _image(database, queued_build)
    (row,) = lookup.find_rows(database, "gh", "oRg/rEpO", RECIPE, refs=REFS)
    assert (row.full_name, row.ref, row.commit, row.image) == ("Org/Repo", REFS[0], COMMIT, f"i:{RECIPE}")
    assert row.learnt_at == NOW and row.built_at == NOW


def test_an_image_of_another_recipe_or_commit_is_not_found(
    database: Database, repository: Repository, queued_build: Build
) -> None:
    _image(database, queued_build)
    _push(database, repository, "refs/heads/main", COMMIT)
    _push(database, repository, "refs/heads/other", "f" * 40)
    (row,) = lookup.find_rows(database, "gh", "org/repo", "another recipe", refs=REFS)
    assert row.commit == COMMIT and row.image_id is None
    (row,) = lookup.find_rows(database, "gh", "org/repo", RECIPE, refs=["refs/heads/other"])
    assert row.commit == "f" * 40 and row.image is None


def test_all_refs_that_a_name_can_stand_for_are_returned(database: Database, repository: Repository) -> None:
    _push(database, repository, "refs/heads/main", "a" * 40)
    _push(database, repository, "refs/tags/main", None)
    rows = lookup.find_rows(database, "gh", "org/repo", RECIPE, refs=REFS)
    assert {(row.ref, row.commit) for row in rows} == {
        ("refs/heads/main", "a" * 40),
        ("refs/tags/main", None),
    }


def test_the_default_branch_is_found_without_a_ref(database: Database, repository: Repository) -> None:
    (row,) = lookup.find_rows(database, "gh", "org/repo", RECIPE)
    assert row.ref is None and row.default_branch is None
    with database.write() as session:
        repositories.record(session, full_name="Org/Repo", default_branch="main", now=NOW)
    _push(database, repository, "refs/heads/main", COMMIT)
    (row,) = lookup.find_rows(database, "gh", "org/repo", RECIPE)
    assert (row.ref, row.commit) == ("refs/heads/main", COMMIT)


def test_a_commit_is_found_without_a_ref(database: Database, queued_build: Build) -> None:
    _image(database, queued_build)
    (row,) = lookup.find_rows(database, "gh", "org/repo", RECIPE, commit=COMMIT)
    assert (row.ref, row.commit, row.image) == (None, COMMIT, f"i:{RECIPE}")


def test_an_unknown_repository_has_no_row(database: Database, repository: Repository) -> None:
    assert lookup.find_rows(database, "gh", "org/other", RECIPE, refs=REFS) == []
    assert lookup.find_rows(database, "gh", "org/other", RECIPE) == []
    assert lookup.find_rows(database, "gh", "org/other", RECIPE, commit=COMMIT) == []


def test_a_failed_lookup_raises_the_databases_error_and_leaves_connections_usable(
    database: Database, queued_build: Build
) -> None:
    def rename(old: str, new: str) -> None:
        with database.write() as session:
            session.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

    rename("image", "hidden")
    for _ in range(20):  # more than the pool's connections
        with pytest.raises(DBAPIError):
            lookup.find_rows(database, "gh", "org/repo", RECIPE, commit=COMMIT)
    rename("hidden", "image")
    assert lookup.find_rows(database, "gh", "org/repo", RECIPE, commit=COMMIT)[0].image is None
    _image(database, queued_build)
    assert lookup.find_rows(database, "gh", "org/repo", RECIPE, commit=COMMIT)[0].built_at == NOW
