"""`repo2hub lookup` with a real web process."""

import json

import pytest

from demo.github.bare_repository import BareRepository
from demo.github.delivery import deliver, push_payload
from tests.repo2hub.command_line import Web
from tests.repo2hub.commands.conftest import SECRET, Builder

pytestmark = pytest.mark.slow


def test_lookup_prints_only_the_name_or_why_there_is_no_image(
    web: Web, pushed: BareRepository, name: str, image: str, builder: Builder
) -> None:
    code, out, err = web.run("lookup", name)
    assert (code, out, err.partition(":")[0]) == (3, "", "none")
    web.run("build", f"{name}@main", "--no-follow")
    builder.succeed()
    assert web.run("lookup", name) == (0, f"{image}\n", "")
    # The next push has no image yet, so the older one is named.
    commit = pushed.commit({"README.md": "hello again"})
    payload = push_payload(pushed.full_name, commit=commit)
    assert deliver(f"{web.url}/webhook/github", "push", payload, secret=SECRET).status_code == 202
    code, out, err = web.run("lookup", f"{name}@main")
    assert (code, out) == (3, "")
    assert err.startswith("queued: ")
    assert image in err
    code, out, _ = web.run("lookup", name, "--json")
    assert (code, json.loads(out)["fallback"]["image"]) == (3, image)
    builder.fail("enough")
