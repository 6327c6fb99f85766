"""The changes that deliveries make to the records."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from db.database import Database
from db.models import Build, Delivery, RefHead, Repository
from db.queue import transitions
from db.queue.transitions import BuildResult
from db.records import images, refs, repositories
from db.status import Lease, Status
from tests.webhook.conftest import Deliver
from tests.webhook.github.deliveries import EPOCH, MAIN, ONE, THREE, TWO, ZERO, hook, push, repository


def builds(database: Database) -> Sequence[tuple[str, str, str | None]]:
    """Return each build's commit, status and reason, in the order of the queue."""
    with database.read() as session:
        found = session.scalars(select(Build).order_by(Build.priority, Build.id)).all()
    return [(build.commit, build.status, build.reason) for build in found]


def head(database: Database, ref: str = MAIN) -> str | None:
    with database.read() as session:
        return session.scalars(select(RefHead.commit).where(RefHead.ref == ref)).one()


def only_repository(database: Database) -> Repository:
    with database.read() as session:
        return session.scalars(select(Repository)).one()


def claim(database: Database) -> Lease:
    with database.write() as session:
        build = transitions.claim(session, worker="w", now=datetime.now(UTC))
    assert build is not None
    return Lease(build.id, build.attempt)


def test_a_push_records_its_repository_and_head(deliver: Deliver, database: Database) -> None:
    deliver("push", push())
    row = only_repository(database)
    assert (row.provider_id, row.full_name, row.default_branch, row.private) == (7, "Org/Repo", "main", False)
    with database.read() as session:
        known = refs.head(session, row, MAIN)
    assert known is not None and known.commit == TWO
    assert known.pushed_at == datetime.fromtimestamp(EPOCH, UTC)
    assert row.webhook_since is not None and known.learnt_at >= row.webhook_since


@pytest.mark.parametrize("before", [ZERO, ONE])
def test_a_new_or_updated_branch_is_built(deliver: Deliver, database: Database, before: str) -> None:
    assert deliver("push", push(before=before)).status_code == 202
    assert builds(database) == [(TWO, "queued", None)]


def test_a_forced_push_is_built(deliver: Deliver, database: Database) -> None:
    deliver("push", push(TWO, ONE))
    assert deliver("push", push(THREE, TWO, at=EPOCH + 1, forced=True)).status_code == 202
    assert head(database) == THREE


def test_an_annotated_tag_builds_its_commit(deliver: Deliver, database: Database) -> None:
    tag_object = "a" * 40
    answer = deliver("push", push(tag_object, ZERO, ref="refs/tags/v1", commit=THREE))
    assert answer.status_code == 202
    assert builds(database) == [(THREE, "queued", None)]
    assert head(database, "refs/tags/v1") == THREE


def test_a_tag_without_a_commit_is_not_built(deliver: Deliver, database: Database) -> None:
    answer = deliver("push", push(TWO, ZERO, ref="refs/tags/tree", head_commit=None))
    assert answer.json is not None
    assert (answer.status_code, answer.json["reason"], builds(database)) == (200, "no_commit", [])


def test_deleting_a_branch_cancels_its_queued_builds(deliver: Deliver, database: Database) -> None:
    deliver("push", push())
    answer = deliver("push", push(ZERO, TWO, at=EPOCH + 1))
    assert (answer.status_code, answer.json) == (
        200,
        {"outcome": "ref_deleted", "repository": "Org/Repo", "ref": MAIN, "cancelled": 1},
    )
    assert builds(database) == [(TWO, "cancelled", "ref_deleted")]
    assert head(database) is None


def test_deleting_a_branch_keeps_builds_that_another_branch_needs(
    deliver: Deliver, database: Database
) -> None:
    deliver("push", push(ref="refs/heads/feature"))
    deliver("push", push(ref=MAIN))
    deliver("push", push(ZERO, TWO, ref="refs/heads/feature", at=EPOCH + 1))
    assert builds(database) == [(TWO, "queued", None)]


def test_a_late_deletion_of_a_recreated_branch_changes_nothing(deliver: Deliver, database: Database) -> None:
    deliver("push", push(THREE, ZERO, at=EPOCH + 9))
    answer = deliver("push", push(ZERO, TWO, at=EPOCH))
    assert answer.json is not None
    assert (answer.status_code, answer.json["reason"]) == (200, "newer_push_recorded")
    assert builds(database) == [(THREE, "queued", None)]
    assert head(database) == THREE


def test_a_late_push_to_a_deleted_branch_is_not_built(deliver: Deliver, database: Database) -> None:
    deliver("push", push(ZERO, TWO, at=EPOCH + 9))
    answer = deliver("push", push(TWO, ONE, at=EPOCH))
    assert (answer.status_code, builds(database), head(database)) == (200, [], None)


def test_a_late_older_push_is_queued_behind_the_newer_one(deliver: Deliver, database: Database) -> None:
    deliver("push", push(THREE, TWO, at=EPOCH + 9))
    assert deliver("push", push(TWO, ONE, at=EPOCH)).status_code == 202
    assert builds(database) == [(THREE, "queued", None), (TWO, "queued", None)]
    assert head(database) == THREE


def test_pushes_of_the_same_second_are_ordered_by_the_commits_they_replaced(
    deliver: Deliver, database: Database
) -> None:
    deliver("push", push(THREE, TWO))
    deliver("push", push(TWO, ONE))
    assert head(database) == THREE
    assert builds(database) == [(THREE, "queued", None), (TWO, "queued", None)]


def test_a_newer_push_is_built_first(deliver: Deliver, database: Database) -> None:
    deliver("push", push(TWO, ONE))
    deliver("push", push(THREE, TWO, at=EPOCH + 1))
    assert builds(database) == [(THREE, "queued", None), (TWO, "queued", None)]


def test_with_supersede_only_the_newest_push_is_built(
    deliver_with: Callable[..., Deliver], database: Database
) -> None:
    deliver = deliver_with(supersede=True)
    deliver("push", push(TWO, ONE, at=EPOCH + 1))
    deliver("push", push(THREE, TWO, at=EPOCH + 2))
    late = deliver("push", push(ONE, ZERO, at=EPOCH))
    assert late.json is not None
    assert (late.status_code, late.json["reason"]) == (200, "newer_push_recorded")
    assert set(builds(database)) == {(TWO, "cancelled", "superseded"), (THREE, "queued", None)}


def test_two_refs_with_the_same_commit_share_a_build(deliver: Deliver, database: Database) -> None:
    first = deliver("push", push(ref=MAIN))
    second = deliver("push", push(ref="refs/tags/v1", before=ZERO))
    assert first.json is not None and second.json is not None
    assert (second.status_code, second.json["outcome"]) == (202, "joined")
    assert first.json["build"] == second.json["build"]


def test_an_existing_image_is_not_built_again(deliver: Deliver, database: Database) -> None:
    deliver("push", push())
    lease, now = claim(database), datetime.now(UTC)
    with database.write() as session:
        build = session.get_one(Build, lease.build_id)
        images.record(session, build=build, recipe=build.recipe, name="i", digest=None, size=None, now=now)
        transitions.finish(session, lease, BuildResult(Status.SUCCEEDED), now=now)
    answer = deliver("push", push(ref="refs/tags/v1", before=ZERO))
    assert answer.json is not None
    assert (answer.status_code, answer.json["outcome"]) == (200, "exists")
    assert builds(database) == [(TWO, "succeeded", None)]


@pytest.mark.parametrize("message", ["Fix [skip ci]", "Fix\n\n\nskip-checks: true", "[skip repo2hub] Fix"])
def test_a_skipped_push_is_recorded_and_not_built(deliver: Deliver, database: Database, message: str) -> None:
    answer = deliver("push", push(message=message))
    assert answer.json is not None
    assert (answer.status_code, answer.json["outcome"]) == (200, "skipped")
    assert answer.json["reason"].startswith("commit message: ")
    assert (builds(database), head(database)) == ([], TWO)


def test_a_ref_that_matches_no_filter_is_recorded_and_not_built(
    deliver_with: Callable[..., Deliver], database: Database
) -> None:
    deliver = deliver_with(ref_filters=("refs/heads/main",))
    answer = deliver("push", push(ref="refs/tags/v1", before=ZERO))
    assert answer.json is not None
    assert (answer.status_code, answer.json["reason"]) == (200, "ref_filter")
    assert (builds(database), head(database, "refs/tags/v1")) == ([], TWO)
    assert deliver("push", push(ref=MAIN)).status_code == 202


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"banned_repositories": ("org/*",)}, "repository_banned"),
        ({"allowed_repositories": ("other/*",)}, "repository_not_allowed"),
    ],
)
@pytest.mark.parametrize("event", ["push", "ping"])
def test_only_the_delivery_of_a_refused_repository_is_recorded(
    deliver_with: Callable[..., Deliver],
    database: Database,
    changes: dict[str, object],
    reason: str,
    event: str,
) -> None:
    answer = deliver_with(**changes)(event, push(hook=hook()))
    assert (answer.status_code, answer.json) == (200, {"outcome": "refused", "reason": reason})
    with database.read() as session:
        assert session.scalars(select(Delivery.outcome)).all() == ["refused"]
        assert session.scalars(select(Repository)).all() == []


def test_heads_of_a_banned_known_repository_stay_up_to_date(
    deliver: Deliver, deliver_with: Callable[..., Deliver], database: Database
) -> None:
    deliver("push", push(ONE, ZERO))
    deliver("push", push(THREE, ZERO, ref="refs/heads/gone"))
    banned = deliver_with(banned_repositories=("org/*",))
    moved = banned("push", push(TWO, ONE, at=EPOCH + 60))
    assert moved.json is not None
    assert (moved.status_code, moved.json["outcome"], moved.json["reason"]) == (
        200,
        "refused",
        "repository_banned",
    )
    banned("push", push(ZERO, THREE, ref="refs/heads/gone", at=EPOCH + 61))
    # If the ban is lifted, heads are trusted as before, so a missed push would be served until the next one.
    assert head(database) == TWO
    assert head(database, "refs/heads/gone") is None
    assert builds(database) == [(ONE, "queued", None), (THREE, "cancelled", "ref_deleted")]


def test_notes_and_other_refs_are_ignored(deliver: Deliver, database: Database) -> None:
    answer = deliver("push", push(ref="refs/notes/commits"))
    assert answer.json == {"outcome": "ignored", "reason": "not_a_branch_or_tag"}
    assert builds(database) == []


def test_a_ping_records_that_pushes_will_arrive(deliver: Deliver, database: Database) -> None:
    answer = deliver("ping", {"hook": hook(), "repository": repository()})
    assert (answer.status_code, answer.json) == (200, {"outcome": "pong", "repository": "Org/Repo"})
    assert only_repository(database).webhook_since is not None


def test_a_ping_of_a_hook_without_pushes_records_nothing(deliver: Deliver, database: Database) -> None:
    assert deliver("ping", {"hook": hook("issues"), "repository": repository()}).json == {"outcome": "pong"}
    with database.read() as session:
        assert session.scalars(select(Repository)).all() == []


def test_heads_are_no_longer_trusted_after_the_hook_is_removed(deliver: Deliver, database: Database) -> None:
    deliver("push", push())
    answer = deliver("meta", {"action": "deleted", "hook": hook(), "repository": repository()})
    assert answer.status_code == 200
    assert only_repository(database).webhook_since is None


def test_removing_an_organizations_hook_affects_only_its_repositories(
    deliver: Deliver, database: Database
) -> None:
    for number, name in enumerate(["My_Org/One", "my_org/Two", "MyXOrg/Three", "My_Organ/Four"], start=1):
        deliver("push", push(repository=repository(id=number, full_name=name)))
    deliver("meta", {"action": "deleted", "organization": {"login": "MY_ORG"}})
    with database.read() as session:
        trusted = select(Repository.full_name).where(Repository.webhook_since.is_not(None))
        assert set(session.scalars(trusted)) == {"MyXOrg/Three", "My_Organ/Four"}


@pytest.mark.parametrize("name", ["Org/New-Name", "Other/Repo"])
@pytest.mark.parametrize("action", ["renamed", "transferred"])
def test_a_renamed_or_transferred_repository_keeps_its_record(
    deliver: Deliver, database: Database, action: str, name: str
) -> None:
    deliver("push", push())
    deliver("repository", {"action": action, "repository": repository(full_name=name)})
    row = only_repository(database)
    assert (row.full_name, row.provider_id) == (name, 7)
    with database.read() as session:
        assert repositories.find(session, "gh", name) is not None
        assert repositories.find(session, "gh", "Org/Repo") is None


def test_a_name_belongs_to_the_newer_repository_that_uses_it(deliver: Deliver, database: Database) -> None:
    deliver("push", push())
    deliver("push", push(THREE, ZERO, repository=repository(id=8)))
    with database.read() as session:
        holder = repositories.find(session, "gh", "org/repo")
        assert holder is not None and holder.provider_id == 8
        known = refs.head(session, holder, MAIN)
        assert known is not None and known.commit == THREE


def test_deleting_a_repository_disables_it_and_cancels_its_queued_builds(
    deliver: Deliver, database: Database
) -> None:
    deliver("push", push())
    answer = deliver("repository", {"action": "deleted", "repository": repository()})
    assert answer.json == {"outcome": "repository_deleted", "repository": "Org/Repo", "cancelled": 1}
    row = only_repository(database)
    assert (row.enabled, row.webhook_since) == (False, None)
    assert builds(database) == [(TWO, "cancelled", "repository_gone")]


def test_deleting_an_earlier_repository_of_the_same_name_changes_nothing(
    deliver: Deliver, database: Database
) -> None:
    deliver("push", push())
    answer = deliver("repository", {"action": "deleted", "repository": repository(id=8)})
    assert answer.json == {"outcome": "ignored", "reason": "repository_not_known"}
    assert only_repository(database).enabled is True


@pytest.mark.parametrize("banned", [(), ("org/*",)])
def test_a_known_repository_becomes_private_even_if_it_is_banned(
    deliver: Deliver, deliver_with: Callable[..., Deliver], database: Database, banned: tuple[str, ...]
) -> None:
    deliver("push", push())
    change = {"action": "privatized", "repository": repository(private=True)}
    assert deliver_with(banned_repositories=banned)("repository", change).status_code == 200
    assert only_repository(database).private is True


@pytest.mark.parametrize(
    ("event", "delivery"),
    [
        ("repository", {"action": "publicized", "repository": repository(private=False)}),
        ("public", {"repository": repository(private=False)}),
    ],
)
def test_a_repository_becomes_public(
    deliver: Deliver, database: Database, event: str, delivery: dict[str, object]
) -> None:
    deliver("push", push(repository=repository(private=True)))
    deliver(event, delivery)
    assert only_repository(database).private is False


def test_a_late_push_does_not_make_a_private_repository_public(deliver: Deliver, database: Database) -> None:
    before, after = "2026-11-23T12:00:00Z", "2026-11-23T12:00:01Z"
    deliver("push", push(repository=repository(private=False, updated_at=before)))
    change = {"action": "privatized", "repository": repository(private=True, updated_at=after)}
    deliver("repository", change)
    late = deliver("push", push(THREE, TWO, repository=repository(private=False, updated_at=before)))
    assert late.status_code == 202
    assert only_repository(database).private is True
    deliver("public", {"repository": repository(private=False, updated_at=after)})
    assert only_repository(database).private is False


def test_a_new_default_branch_is_recorded(deliver: Deliver, database: Database) -> None:
    deliver("push", push())
    deliver("repository", {"action": "edited", "repository": repository(default_branch="trunk")})
    assert only_repository(database).default_branch == "trunk"


def test_a_repository_known_only_by_name_is_found(deliver: Deliver, database: Database) -> None:
    with database.write() as session:
        repositories.record(session, full_name="org/repo", now=datetime.now(UTC))
    deliver("repository", {"action": "privatized", "repository": repository(private=True)})
    row = only_repository(database)
    assert (row.private, row.provider_id) == (True, 7)


def test_a_change_of_an_unknown_repository_is_ignored(deliver: Deliver, database: Database) -> None:
    answer = deliver("repository", {"action": "created", "repository": repository()})
    assert answer.json == {"outcome": "ignored", "reason": "repository_not_known"}
    with database.read() as session:
        assert session.scalars(select(Repository)).all() == []
