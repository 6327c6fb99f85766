"""`repo2hub web`: its options."""

import pytest

from tests.repo2hub.command_line import run

pytestmark = pytest.mark.slow


def test_an_invalid_option_is_reported_by_its_variable() -> None:
    code, _, err = run("web", "--port", "99999")
    assert (code, err.partition(":")[0]) == (2, "REPO2HUB_PORT")


def test_an_unknown_role_is_refused_with_the_list_of_roles() -> None:
    code, _, err = run("web", "--role", "pages")
    assert code == 2 and all(role in err for role in ("all", "webhook", "streams"))
