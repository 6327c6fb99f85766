"""Repositories keep their identity when they are renamed or transferred, and when names are reused."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from db.database import Database
from db.models import Repository
from db.records import repositories
from tests.conftest import NOW
from tests.db.processes import LATER

Record = Callable[..., Repository]
HOUR = timedelta(hours=1)


@pytest.fixture
def record(database: Database) -> Record:
    def record_repository(full_name: str, provider_id: int | None = None, **details: object) -> Repository:
        with database.write() as session:
            return repositories.record(
                session,
                full_name=full_name,
                provider_id=provider_id,
                **{"now": NOW, **details},  # type: ignore[arg-type]
            )

    return record_repository


def named(database: Database, full_name: str) -> Repository | None:
    with database.read() as session:
        return repositories.find(session, "gh", full_name)


def test_a_name_is_found_in_any_case_and_keeps_its_case(database: Database, record: Record) -> None:
    row = record("Org/Repo", 1)
    for spelling in ("org/repo", "ORG/REPO", "Org/Repo"):
        found = named(database, spelling)
        assert found is not None and (found.id, found.full_name) == (row.id, "Org/Repo")
    assert record("oRG/rEPO", 1).id == row.id
    assert named(database, "org/other") is None


def test_columns_that_a_description_leaves_out_stay_unchanged(record: Record) -> None:
    record("o/r", 1, default_branch="main", private=True, webhook_active=True)
    row = record("o/r")
    assert (row.provider_id, row.default_branch, row.private, row.webhook_since) == (1, "main", True, NOW)


def test_a_new_default_branch_or_visibility_is_recorded(record: Record) -> None:
    record("o/r", 1, default_branch="main", private=True)
    row = record("o/r", 1, default_branch="trunk", private=False)
    assert (row.default_branch, row.private) == ("trunk", False)


def test_an_outdated_description_only_records_that_pushes_arrive(record: Record) -> None:
    record("o/old", 1, default_branch="main", private=False, described_at=NOW)
    record("o/new", 1, default_branch="trunk", private=True, described_at=LATER)
    row = record(
        "o/old", 1, default_branch="main", private=False, webhook_active=True, described_at=NOW, now=LATER
    )
    assert (row.full_name, row.name_key, row.default_branch, row.private) == ("o/new", "o/new", "trunk", True)
    assert row.webhook_since == LATER
    row = record("o/new", 1, default_branch="trunk", private=False, described_at=LATER + HOUR)
    assert row.private is False


def test_an_outdated_description_does_not_take_over_a_name(database: Database, record: Record) -> None:
    record("o/a", 1, described_at=NOW)
    renamed = record("o/b", 1, described_at=LATER)
    successor = record("o/a", 2, described_at=LATER)
    assert record("o/a", 1, described_at=NOW).id == renamed.id
    for name, row in (("o/a", successor), ("o/b", renamed)):
        found = named(database, name)
        assert found is not None and found.id == row.id


def test_a_description_without_a_time_applies_at_once_and_outdates_no_delivery(record: Record) -> None:
    record("o/r", 1, private=False, described_at=NOW)
    assert record("o/r", 1, private=True).private is True
    assert record("o/r", 1, private=False, described_at=NOW).private is False


@pytest.mark.parametrize("recorded", [repositories.record_if_changed, repositories.record])
def test_a_description_that_changes_nothing_is_not_written(
    database: Database, record: Record, recorded: Callable[..., object]
) -> None:
    record("o/r", 1, private=False, described_at=NOW)
    with database.write() as session:
        recorded(session, full_name="o/r", provider_id=1, private=False, described_at=LATER, now=LATER)
    found = named(database, "o/r")
    assert found is not None and found.described_at == NOW


def test_webhook_since_is_kept_until_the_webhook_is_inactive(record: Record) -> None:
    record("o/r", 1, webhook_active=True)
    assert record("o/r", 1, webhook_active=True, now=LATER).webhook_since == NOW
    assert record("o/r", 1, webhook_active=False).webhook_since is None
    assert record("o/r", 1, webhook_active=True, now=LATER).webhook_since == LATER


@pytest.mark.parametrize("new_name", ["org/renamed", "elsewhere/repo", "ORG/Repo"])
def test_a_renamed_or_transferred_repository_stays_the_same(
    database: Database, record: Record, new_name: str
) -> None:
    row = record("org/repo", 1)
    assert record(new_name, 1).id == row.id
    found = named(database, new_name)
    assert found is not None and (found.id, found.full_name) == (row.id, new_name)
    if new_name.lower() != "org/repo":
        assert named(database, "org/repo") is None


def test_a_name_belongs_to_the_repository_that_took_it_over(database: Database, record: Record) -> None:
    old = record("org/repo", 1)
    new = record("org/repo", 2)
    assert new.id != old.id
    found = named(database, "org/repo")
    assert found is not None and found.provider_id == 2
    with database.read() as session:
        earlier = repositories.find_by_provider_id(session, "gh", 1)
    assert earlier is not None and (earlier.id, earlier.full_name) == (old.id, "org/repo")


def test_two_repositories_can_swap_their_names_again_and_again(database: Database, record: Record) -> None:
    first, second = record("org/a", 1), record("org/b", 2)
    for names in (("org/b", "org/a"), ("org/a", "org/b")) * 2:
        assert (record(names[0], 1).id, record(names[1], 2).id) == (first.id, second.id)
        for name, row in zip(names, (first, second), strict=True):
            found = named(database, name)
            assert found is not None and found.id == row.id


def test_repositories_that_gave_up_the_same_name_do_not_collide(record: Record) -> None:
    # The first has the id 2 at GitHub. The second is row 2 and has no id at GitHub.
    filler, launched = record("org/filler", 2), record("org/repo")
    assert launched.id == 2
    renamed = record("org/elsewhere", 5)
    assert record("org/repo", 5).id == renamed.id
    assert record("org/repo", 2).id == filler.id
    assert record("org/repo", 7).provider_id == 7


def test_the_first_push_uses_the_record_that_a_launch_created(record: Record) -> None:
    launched = record("Org/Repo")
    assert launched.provider_id is None
    pushed = record("org/repo", 9)
    assert (pushed.id, pushed.provider_id) == (launched.id, 9)


def test_a_launch_uses_the_record_that_a_push_created(record: Record) -> None:
    pushed = record("Org/Repo", 9)
    assert record("ORG/repo").id == pushed.id


def test_a_disabled_repository_is_enabled_by_a_push(database: Database, record: Record) -> None:
    row = record("org/repo", 1, webhook_active=True)
    with database.write() as session:
        repositories.disable(session, row)
    disabled = named(database, "org/repo")
    assert disabled is not None and not disabled.enabled and disabled.webhook_since is None
    assert record("org/repo", 1).enabled


def test_the_same_id_at_another_provider_is_another_repository(record: Record) -> None:
    assert record("org/repo", 1).id != record("org/repo", 1, provider="ghe").id
