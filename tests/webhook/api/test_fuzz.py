"""Generated requests to every described operation: responses are as described, and nothing fails inside."""

from collections import Counter
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from db.queue import transitions
from tests.conftest import NOW
from tests.webhook.api.conftest import OTHER
from tests.webhook.records import Records

pytestmark = pytest.mark.slow

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]

KNOWN: dict[str, dict[str, Any]] = {
    "POST /api/v1/builds": {"repository": st.just("org/repo")},
    "GET /api/v1/images/gh/{spec}": {"spec": st.sampled_from(["org/repo", "org/repo/main", "org/repo/dev"])},
    "GET /build/{spec}": {"spec": st.sampled_from(["gh/org/repo/main", "gh/org/repo/v1", "gh/org/nothing"])},
}
"""Parameters that lead to a record, by operation; of all others, the ids of builds do."""

REJECTING = {"GET /api/v1/builds", "POST /api/v1/builds", "GET /api/v1/builds/{build}/log"}
"""The operations whose query or body can violate the description."""

Operations = dict[str, APIOperation[Any, Any, Any, Any]]


@pytest.fixture
def operations(app: Flask, records: Records) -> Operations:
    """The operations of an application with finished builds: the log of an active one would not end."""
    records.succeed(records.push())
    records.fail(records.push(OTHER, "refs/heads/dev"), log=["Step 1\n"])
    cancelled = records.push("a" * 40, "refs/heads/dev")
    with records.database.write() as session:
        transitions.cancel(session, cancelled, by="alice", now=NOW)
    records.push("b" * 40, "refs/heads/dev")
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)
    found = [result.ok() for result in schema.get_all_operations()]
    return {operation.label: operation for operation in found}


@pytest.mark.usefixtures("remote_repository")
def test_responses_to_valid_requests_are_as_described(operations: Operations) -> None:
    statuses = {label: _fuzz(operation, GenerationMode.POSITIVE) for label, operation in operations.items()}
    succeeded = {label for label, counted in statuses.items() if counted[200] or counted[202]}
    assert succeeded == operations.keys() and len(operations) == 9, statuses


@pytest.mark.parametrize("label", sorted(REJECTING))
def test_invalid_requests_are_rejected(operations: Operations, label: str) -> None:
    statuses = _fuzz(operations[label], GenerationMode.NEGATIVE)
    assert statuses[404] + statuses[422] > 8  # CHECKS judge the others: some are valid after all


def _fuzz(operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode) -> Counter[int]:
    """Send generated requests to an operation, and return how often each status was returned."""
    statuses: Counter[int] = Counter()
    known = KNOWN.get(operation.label, {"build": st.integers(1, 4)})

    @settings(
        max_examples=20,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), known=st.none() | st.fixed_dictionaries(known))
    def send(case: schemathesis.Case[Any], known: dict[str, Any] | None) -> None:
        if mode is GenerationMode.POSITIVE and known is not None:
            parameters = case.path_parameters or (case.body if isinstance(case.body, dict) else {})
            parameters.update(known)
        statuses[case.call_and_validate(checks=CHECKS).status_code] += 1

    send()
    return statuses
