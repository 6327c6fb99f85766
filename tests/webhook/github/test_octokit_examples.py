"""Every example delivery of GitHub's own collection, and the pushes it lacks, held against GitHub's schema.

`@octokit/webhooks-examples` and `@octokit/webhooks-schemas` come from npm: `machine/node-packages`.
"""

import json
from copy import deepcopy
from typing import Any

import pytest
from sqlalchemy import select

from db.database import Database
from db.models import Build, Delivery
from tests.webhook.conftest import NODE_MODULES, Deliver

EXAMPLES = NODE_MODULES / "webhooks-examples" / "api.github.com" / "index.json"
SCHEMA = NODE_MODULES / "webhooks-schemas" / "schema.json"

Payload = dict[str, Any]


def read(path: Any) -> Any:
    if not path.exists():
        pytest.fail(f"{path.name} of @octokit is missing: run machine/node-packages", pytrace=False)
    return json.loads(path.read_bytes())


@pytest.fixture(scope="module")
def examples() -> dict[str, list[Payload]]:
    return {event["name"]: event["examples"] for event in read(EXAMPLES)}


# The response to each example of an event, all sent to one service in this order. Other events are ignored.
EXPECTED: dict[str, list[tuple[int, str]]] = {
    "push": [
        (202, "queued"),  # a tag is created
        *[(200, "ref_deleted")] * 3,
        (202, "queued"),  # a branch is created
        (202, "joined"),  # the same push again
        (200, "ref_deleted"),
    ],
    "ping": [(200, "pong")] * 4,
    "meta": [(200, "hook_removed")] * 2,
    "repository": [(200, "updated")] * 13,  # known since the pings
}


def test_all_examples_get_the_expected_responses(
    examples: dict[str, list[Payload]], deliver: Deliver, database: Database
) -> None:
    wrong = []
    for event, payloads in examples.items():
        expected = EXPECTED.get(event, [(200, "ignored")] * len(payloads))
        answers = [deliver(event, payload) for payload in payloads]
        found = [(answer.status_code, (answer.json or {}).get("outcome")) for answer in answers]
        wrong += [(event, found)] if found != expected else []
    assert wrong == []
    assert sum(len(payloads) for payloads in examples.values()) == 329
    with database.read() as session:
        assert len(session.scalars(select(Delivery)).all()) == 329
        assert len(session.scalars(select(Build)).all()) == 2


def test_the_examples_of_a_known_repository_change_it(
    examples: dict[str, list[Payload]], deliver: Deliver
) -> None:
    deliver("push", examples["push"][4])
    for payload in examples["public"]:
        assert (deliver("public", payload).json or {})["outcome"] == "updated"


def numbered(commit: Payload, number: int) -> Payload:
    return commit | {"id": f"{number:040x}", "message": f"Change {number}"}


def ordinary(created: Payload) -> Payload:
    head = numbered(created["head_commit"], 2)
    before = created["after"]
    return created | {
        "before": before,
        "after": head["id"],
        "created": False,
        "head_commit": head,
        "commits": [head],
    }


def forced(created: Payload) -> Payload:
    return ordinary(created) | {"forced": True}


def of_many_commits(created: Payload) -> Payload:
    commits = [numbered(created["head_commit"], number) for number in range(2, 2050)]
    return ordinary(created) | {"after": commits[-1]["id"], "head_commit": commits[-1], "commits": commits}


def annotated_tag(created: Payload) -> Payload:
    return created | {
        "ref": "refs/tags/v1",
        "after": "a" * 40,
        "commits": [],
        "base_ref": "refs/heads/master",
    }


@pytest.mark.parametrize("derive", [ordinary, forced, of_many_commits, annotated_tag])
def test_pushes_derived_from_the_examples_build_their_head_commit(
    examples: dict[str, list[Payload]], deliver: Deliver, database: Database, derive: Any
) -> None:
    from jsonschema import Draft7Validator  # imported here because it takes seconds

    payload = derive(deepcopy(examples["push"][4]))
    schema = {"$ref": "#/definitions/push$event", "definitions": read(SCHEMA)["definitions"]}
    assert [error.message for error in Draft7Validator(schema).iter_errors(payload)] == []
    answer = deliver("push", payload)
    assert (answer.status_code, (answer.json or {})["outcome"]) == (202, "queued")
    with database.read() as session:
        assert session.scalars(select(Build.commit)).all() == [payload["head_commit"]["id"]]
