"""Parsing deliveries into events."""

import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.github.payload import (
    HookRemoved,
    Ignored,
    MalformedPayload,
    PayloadRepository,
    Ping,
    Push,
    RepositoryChanged,
    RepositoryDeleted,
    action_of,
    is_ref,
    parse_event,
)

ONE, TWO, ZERO = "1" * 40, "2" * 40, "0" * 40
SOURCE = PayloadRepository(7, "Org/Repo", "main", False)
REPOSITORY = {"id": 7, "full_name": "Org/Repo", "default_branch": "main", "private": False}

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.sampled_from([ONE, ZERO, "refs/heads/main", "Org/Repo", "2020-01-01T00:00:00Z"]),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=8,
)


def push(**changes: Any) -> dict[str, Any]:
    return {
        "ref": "refs/heads/main",
        "before": ONE,
        "after": TWO,
        "created": False,
        "deleted": False,
        "forced": False,
        "repository": REPOSITORY | {"pushed_at": 1557933657},
        "head_commit": {
            "id": TWO,
            "message": "Add a plot\n\nmore",
            "author": {"username": "ada", "name": "Ada"},
        },
    } | changes


def pushed(**changes: Any) -> Push:
    happening = parse_event("push", push(**changes))
    assert isinstance(happening, Push)
    return happening


def test_a_push_is_parsed() -> None:
    result = pushed()
    assert result.source == SOURCE
    assert (result.ref, result.before, result.commit) == ("refs/heads/main", ONE, TWO)
    assert not result.deleted
    assert result.pushed_at == datetime(2019, 5, 15, 15, 20, 57, tzinfo=UTC)
    assert (result.message, result.title, result.author) == ("Add a plot\n\nmore", "Add a plot", "ada")


def test_a_push_that_creates_a_branch_has_no_previous_commit() -> None:
    assert pushed(before=ZERO, created=True).before is None


def test_an_annotated_tag_has_its_commit_and_not_its_tag_object() -> None:
    tag = pushed(ref="refs/tags/v1", after="a" * 40, before=ZERO)
    assert tag.commit == TWO


def test_a_tag_without_a_commit_has_nothing_to_build() -> None:
    tag = pushed(ref="refs/tags/tree", before=ZERO, head_commit=None)
    assert (tag.commit, tag.deleted) == (None, False)


def test_a_branch_without_head_commit_is_still_built() -> None:
    result = pushed(head_commit=None)
    assert (result.commit, result.message, result.title, result.author) == (TWO, "", None, None)


@pytest.mark.parametrize("changes", [{"deleted": True}, {"deleted": False}, {"deleted": None}])
def test_a_push_without_a_commit_is_a_deletion(changes: dict[str, Any]) -> None:
    gone = pushed(after=ZERO, head_commit=None, **changes)
    assert (gone.deleted, gone.commit, gone.before) == (True, None, ONE)


def test_a_forced_push_is_a_push() -> None:
    assert pushed(forced=True) == pushed(forced=False)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1557933657, datetime(2019, 5, 15, 15, 20, 57, tzinfo=UTC)),
        ("2019-05-15T15:20:57Z", datetime(2019, 5, 15, 15, 20, 57, tzinfo=UTC)),
        ("2019-05-15T17:20:57+02:00", datetime(2019, 5, 15, 15, 20, 57, tzinfo=UTC)),
        ("2019-05-15T15:20:57", datetime(2019, 5, 15, 15, 20, 57, tzinfo=UTC)),
        (None, None),
    ],
)
def test_all_formats_of_a_pushs_time_are_parsed(value: object, expected: datetime | None) -> None:
    assert pushed(repository=REPOSITORY | {"pushed_at": value}).pushed_at == expected


def test_a_sha256_commit_is_parsed() -> None:
    assert pushed(after="A" * 64).commit == "a" * 64


def test_other_refs_are_ignored() -> None:
    assert parse_event("push", push(ref="refs/notes/commits")) == Ignored("not_a_branch_or_tag")


def test_the_text_of_a_commit_is_sanitized() -> None:
    head = {"id": TWO, "message": "  a\x00b\x1b[31m\udfff" + "x" * 500, "author": {"name": "e\nvil"}}
    result = pushed(head_commit=head)
    assert result.title is not None
    assert result.title.startswith("a\ufffdb\ufffd[31m\ufffdxx")
    assert len(result.title) == 200
    assert result.author == "e"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"ref": None}, "ref"),
        ({"ref": 5}, "ref"),
        ({"ref": "main"}, "ref"),
        ({"ref": "refs/heads/a b"}, "ref"),
        ({"ref": "refs/heads/\udc80"}, "ref"),
        ({"before": None}, "before"),
        ({"after": "HEAD"}, "after"),
        ({"after": TWO + "\n"}, "after"),
        ({"after": TWO[:-1]}, "after"),
        ({"deleted": "yes"}, "deleted"),
        ({"head_commit": []}, "head_commit"),
        ({"head_commit": {"id": "x"}}, "head_commit.id"),
        ({"head_commit": {"id": TWO, "message": 1}}, "head_commit.message"),
        ({"head_commit": {"id": TWO, "author": "ada"}}, "head_commit.author"),
        ({"head_commit": {"id": TWO, "author": {"name": {}}}}, "head_commit.author.name"),
        ({"repository": None}, "repository"),
        ({"repository": {}}, "repository.id"),
        ({"repository": REPOSITORY | {"id": "7"}}, "repository.id"),
        ({"repository": REPOSITORY | {"id": True}}, "repository.id"),
        ({"repository": REPOSITORY | {"id": 0}}, "repository.id"),
        ({"repository": REPOSITORY | {"id": 2**63}}, "repository.id"),
        ({"repository": REPOSITORY | {"full_name": "repo"}}, "repository.full_name"),
        ({"repository": REPOSITORY | {"full_name": "a/b/c"}}, "repository.full_name"),
        ({"repository": REPOSITORY | {"full_name": "org/.."}}, "repository.full_name"),
        ({"repository": REPOSITORY | {"full_name": "org/repo\n"}}, "repository.full_name"),
        ({"repository": REPOSITORY | {"full_name": "-org/repo"}}, "repository.full_name"),
        ({"repository": REPOSITORY | {"full_name": "örg/repo"}}, "repository.full_name"),
        ({"repository": REPOSITORY | {"full_name": "org/re;po"}}, "repository.full_name"),
        ({"repository": REPOSITORY | {"private": "no"}}, "repository.private"),
        ({"repository": REPOSITORY | {"default_branch": "a..b"}}, "repository.default_branch"),
        ({"repository": REPOSITORY | {"pushed_at": "yesterday"}}, "repository.pushed_at"),
        ({"repository": REPOSITORY | {"pushed_at": 10**30}}, "repository.pushed_at"),
        ({"repository": REPOSITORY | {"pushed_at": 1.5}}, "repository.pushed_at"),
        ({"repository": REPOSITORY | {"pushed_at": "0001-01-01T00:00:00+10:00"}}, "repository.pushed_at"),
    ],
)
def test_an_invalid_field_is_named_and_its_value_is_not_quoted(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(MalformedPayload, match=rf"^{field} must be [a-z0-9/ ]+$"):
        parse_event("push", push(**changes))


@pytest.mark.parametrize("payload", [None, [], "text", 1])
def test_a_payload_that_is_not_an_object_is_rejected(payload: object) -> None:
    with pytest.raises(MalformedPayload, match="payload must be an object"):
        parse_event("push", payload)


@pytest.mark.parametrize(
    ("hook", "delivers"),
    [
        ({"active": True, "events": ["push"]}, True),
        ({"active": True, "events": ["*"]}, True),
        ({"active": True, "events": ["issues"]}, False),
        ({"active": False, "events": ["push"]}, False),
        ({"active": True, "events": "push"}, False),
        (None, False),
    ],
)
def test_a_ping_shows_whether_the_hook_delivers_pushes(hook: object, delivers: bool) -> None:
    assert parse_event("ping", {"hook": hook, "repository": REPOSITORY}) == Ping(SOURCE, delivers)


def test_a_ping_of_an_organizations_hook_has_no_repository() -> None:
    assert parse_event("ping", {"hook_id": 1}) == Ping(None, False)


def test_a_removed_hook_has_a_repository_or_an_organization() -> None:
    assert parse_event("meta", {"action": "deleted", "repository": REPOSITORY}) == HookRemoved(SOURCE, None)
    organization = {"action": "deleted", "organization": {"login": "Org"}}
    assert parse_event("meta", organization) == HookRemoved(None, "Org")
    assert isinstance(parse_event("meta", {"action": "edited"}), Ignored)


@pytest.mark.parametrize("action", ["renamed", "transferred", "privatized", "edited", "archived", "new_one"])
def test_a_change_of_a_repository_has_its_new_state(action: str) -> None:
    delivery = {"action": action, "repository": REPOSITORY}
    assert parse_event("repository", delivery) == RepositoryChanged(SOURCE)


def test_the_event_public_is_a_change_of_a_repository() -> None:
    assert parse_event("public", {"repository": REPOSITORY}) == RepositoryChanged(SOURCE)


def test_a_deleted_repository_is_parsed() -> None:
    assert parse_event("repository", {"action": "deleted", "repository": REPOSITORY}) == RepositoryDeleted(
        SOURCE
    )


@pytest.mark.parametrize(
    ("event", "reason"),
    [("create", "covered_by_push"), ("delete", "covered_by_push"), ("issues", "event_not_used")],
)
def test_other_events_are_ignored_whatever_their_payload(event: str, reason: str) -> None:
    assert parse_event(event, {"repository": "anything"}) == Ignored(reason)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [({"action": "opened"}, "opened"), ({"action": "on-demand-test"}, "on-demand-test"), ({}, None)]
    + [({"action": wrong}, None) for wrong in (5, "a b", "x" * 65, "\x00", "a\n")]
    + [([], None)],
)
def test_only_a_valid_action_is_recorded(payload: object, expected: str | None) -> None:
    assert action_of(payload) == expected


LEGAL = ["main", "feature/é-1", "@", "a@b", "-x", "v1.0", "a./b", "a.lockb", "#1", "a{b}", "'\"$;&|"]
ILLEGAL = [
    "a b",
    "a..b",
    "a~1",
    "a^",
    "a:b",
    "a?",
    "a*",
    "[a",
    "a\\b",
    "a@{1",
    "a//b",
    ".a",
    "a/.b",
    "a.lock",
]
ILLEGAL += ["a.lock/b", "a.", "", "a/", "/a", "a\n", "a\x7f", "a\t"]


@pytest.mark.parametrize("ref", [f"refs/heads/{name}" for name in LEGAL + ILLEGAL])
def test_valid_refs_are_those_that_git_accepts(ref: str) -> None:
    verdict = subprocess.run(["git", "check-ref-format", ref], check=False).returncode == 0
    assert is_ref(ref) is verdict


def test_a_ref_longer_than_githubs_limit_is_rejected() -> None:
    assert is_ref("refs/heads/" + "é" * 122)
    assert not is_ref("refs/heads/" + "é" * 123)


EVENTS = st.sampled_from(["push", "ping", "meta", "repository", "public", "create", "issues"])


@given(event=EVENTS, payload=JSON)
def test_any_json_is_parsed_or_rejected(event: str, payload: object) -> None:
    try:
        parse_event(event, payload)
    except MalformedPayload as exc:
        assert "must be" in str(exc)
    action_of(payload)


FIELDS = ["ref", "before", "after", "created", "deleted", "forced", "repository", "head_commit"]
INNER = ["id", "full_name", "default_branch", "private", "pushed_at", "message", "author"]


@given(
    event=EVENTS,
    changes=st.dictionaries(st.sampled_from([*FIELDS, "action", "hook", "organization"]), JSON),
    repository=st.dictionaries(st.sampled_from(INNER), JSON),
    head=st.dictionaries(st.sampled_from(INNER), JSON),
)
def test_a_push_with_arbitrary_fields_is_parsed_or_rejected(
    event: str, changes: dict[str, Any], repository: dict[str, Any], head: dict[str, Any]
) -> None:
    delivery = push(repository=REPOSITORY | repository, head_commit={"id": TWO} | head) | changes
    try:
        happening = parse_event(event, delivery)
    except MalformedPayload:
        return
    if isinstance(happening, Push):
        kept = f"{happening.ref}{happening.title}{happening.author}"
        assert kept.encode().count(0) == 0, "neither a lone surrogate nor NUL gets into a database"
