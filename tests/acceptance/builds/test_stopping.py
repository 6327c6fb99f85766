"""Cancelling, stopping and killing: nothing is left running, nothing is left behind, nothing is lost."""

import os
import signal
from collections.abc import Callable

import pytest

from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.acceptance.leftovers import files_of_builds, nothing_is_left, running_commands
from tests.acceptance.standstill import Standstill
from tests.support.registry import Registry
from tests.support.service import Service
from tests.support.stand_in import Answer, Asked, StandIn
from tests.support.waiting import wait_until

pytestmark = pytest.mark.engine


def test_cancelling_while_fetching(service: Service, repository: BareRepository, github: GitServer) -> None:
    commit = repository.commit({"README.md": "x"})
    with github.stalled():
        build_id = service.push(repository.full_name, commit)["build"]
        service.wait_for(build_id, phase="fetching")
        assert service.post(f"builds/{build_id}/cancel").status_code == 202
        build = service.wait_for(build_id)
        assert (build["status"], build["reason"]) == ("cancelled", "requested")
        nothing_is_left(service, str(service.data_dir / "work"))


class HangingRegistry(StandIn):
    """A registry that has one image, whose content never comes."""

    def answer(self, asked: Asked) -> Answer:
        if asked.path == "/v2/":
            return Answer(200)
        if "/manifests/" not in asked.path:
            return Answer(hangs=True)
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        part = {"mediaType": "application/octet-stream", "size": 1000, "digest": f"sha256:{'0' * 64}"}
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": part, "layers": [part]}
        return Answer(200, manifest, {"Content-Type": kind})


def test_cancelling_while_the_base_image_is_pulled(
    start_service: Callable[..., Service], repository: BareRepository
) -> None:
    with HangingRegistry() as registry:
        image = f"{registry.url.removeprefix('http://')}/base:1"
        service = start_service(BASE_IMAGE=image)
        build_id = service.push(repository.full_name, repository.commit({"README.md": "x"}))["build"]
        service.wait_for_log(build_id, f"pulling base image {image}")
        service.post(f"builds/{build_id}/cancel")
        build = service.wait_for(build_id)
        assert (build["status"], build["reason"]) == ("cancelled", "requested")
        nothing_is_left(service, image)


def test_cancelling_while_building(service: Service, repository: BareRepository) -> None:
    commit = repository.commit(service.dockerfile("echo started-to-sleep && sleep 594"))
    build_id = service.push(repository.full_name, commit)["build"]
    service.wait_for_log(build_id, "started-to-sleep")
    # The log has the words before the step starts, too: in the line that names its command.
    wait_until(lambda: any("sleep 594" in command for command in running_commands()))
    assert files_of_builds(service.data_dir)
    service.post(f"builds/{build_id}/cancel")
    build = service.wait_for(build_id)
    assert (build["status"], build["reason"]) == ("cancelled", "requested")
    nothing_is_left(service, "sleep 594")


def test_cancelling_while_pushing(
    start_service: Callable[..., Service], repository: BareRepository, registry: Registry
) -> None:
    service = start_service(REGISTRY_URL=registry.url)
    commit = repository.commit({"Dockerfile": f"FROM {service.base_image}\nRUN echo pushed > /x\n"})
    os.kill(registry.pid, signal.SIGSTOP)  # a registry that hangs
    try:
        build_id = service.push(repository.full_name, commit)["build"]
        service.wait_for(build_id, phase="pushing")
        service.post(f"builds/{build_id}/cancel")
        build = service.wait_for(build_id)
        assert (build["status"], build["reason"]) == ("cancelled", "requested")
        nothing_is_left(service, service.settings["IMAGE_PREFIX"])
    finally:
        os.kill(registry.pid, signal.SIGCONT)


def test_a_builder_that_stops_releases_its_build_and_the_next_one_finishes_it(
    service: Service, repository: BareRepository, standstill: Standstill
) -> None:
    commit = repository.commit(service.dockerfile(standstill.step))
    build_id = service.push(repository.full_name, commit)["build"]
    service.wait_for_log(build_id, "it-stands-still")
    assert service.stop("builder") == 0
    build = service.get(f"builds/{build_id}")
    assert (build["status"], build["attempt"]) == ("queued", 1)
    nothing_is_left(service, standstill.process)
    service.start("builder")
    standstill.go_on()
    build = service.wait_for(build_id)
    assert (build["status"], build["attempt"]) == ("succeeded", 2)


def test_a_killed_builder_loses_nothing_and_the_next_one_ends_its_children(
    service: Service, repository: BareRepository
) -> None:
    commit = repository.commit(service.dockerfile("echo started-to-sleep && sleep 593"))
    build_id = service.push(repository.full_name, commit)["build"]
    service.wait_for_log(build_id, "started-to-sleep")
    service.stop("builder", signal.SIGKILL)
    service.start("builder")
    nothing_is_left(service, "sleep 593")
    service.wait_for_log(build_id, "attempt 2")
    service.post(f"builds/{build_id}/cancel")
    build = service.wait_for(build_id)
    assert (build["status"], build["attempt"]) == ("cancelled", 2)
