"""`repo2hub up` with GitHub's address as its only setting: one push, one image, Ctrl-C."""

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from db.database import Database
from db.records import builds
from demo.github.bare_repository import BareRepository
from demo.github.delivery import deliver, push_payload
from demo.github.git_server import GitServer
from tests.acceptance.ask_image import ask
from tests.acceptance.leftovers import nothing_is_left, running_commands
from tests.support.images import remove_images
from tests.support.service import Service

pytestmark = pytest.mark.engine


@pytest.fixture
def service(
    tmp_path: Path, github: GitServer, base_image: str, engine: docker.DockerClient
) -> Iterator[Service]:
    """A service that is not started, and has no secret."""
    prefix = f"r2htest-{uuid.uuid4().hex[:8]}/"
    yield Service(
        tmp_path / "data", github.url, base_image, {"IMAGE_PREFIX": prefix, "WEBHOOK_SECRETS": ""}, {}
    )
    remove_images(engine, prefix)


def push(service: Service, repository: BareRepository, command: str) -> int:
    """Deliver a push, signed with the secret that `up` made, and return the build's id."""
    commit = repository.commit(service.dockerfile(command))
    secret = (service.data_dir / "webhook-secret").read_text().strip()
    payload = push_payload(repository.full_name, commit=commit)
    answer = deliver(f"{service.url}/webhook/github", "push", payload, secret=secret)
    assert answer.status_code == 202, answer.text
    build_id: int = answer.json()["build"]
    return build_id


def test_up_builds_pushes_and_ctrl_c_leaves_only_the_queued_build(
    service: Service, repository: BareRepository
) -> None:
    # A session of its own, as each terminal has; Ctrl-C is a SIGINT to the group in its foreground.
    up = subprocess.Popen(
        service.command("up"),
        env=service.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert up.stdout is not None
    try:
        said = ""
        while service.url not in said:
            line = up.stdout.readline()
            assert line, said
            said += line
        built = service.wait_for(push(service, repository, "echo up > /word"))
        assert built["status"] == "succeeded", service.log(built["id"])
        assert ask(service.image(repository.full_name, "main")["image"], "cat", "/word") == "up"
        waiting = push(service, repository, "echo started-to-sleep && sleep 586")
        service.wait_for_log(waiting, "started-to-sleep")
    finally:
        os.killpg(up.pid, signal.SIGINT)
        said += up.communicate(timeout=90)[0]
    assert up.returncode == 0, said
    assert "Traceback" not in said
    nothing_is_left(service, "sleep 586")
    assert not [command for command in running_commands() if str(service.data_dir) in command]
    database = Database(f"sqlite:///{service.data_dir / 'repo2hub.db'}")
    with database.read() as session:
        build = builds.get(session, waiting)
        assert build is not None and (build.status, build.attempt) == ("queued", 1)
    database.dispose()
