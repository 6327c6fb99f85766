"""How builds fail, and the message that a user reads.

One build for each tool whose output is recorded in `tests/builder/logs/failures`: BuildKit, repo2docker, uv and
apt still print what was recorded. The recordings test all causes.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.github.bare_repository import BareRepository
from tests.support.registry import Registry, login
from tests.support.service import Service

pytestmark = pytest.mark.engine

NO_SUCH_COMMIT = "deadbeef" * 5
# What no message to a user may contain: a traceback, a path of the builder.
INTERNAL = re.compile(r"Traceback|File \"|/tmp/|/work/build|\.py\b")


def fails(service: Service, repository: BareRepository, files: dict[str, str]) -> dict[str, Any]:
    commit = repository.commit(files)
    build = service.wait_for(service.push(repository.full_name, commit)["build"])
    assert build["status"] == "failed", service.log(build["id"])
    assert not INTERNAL.search(build["message"]) and "\n" not in build["message"]
    assert build["message"] in service.log(build["id"])
    return build


@pytest.mark.parametrize(
    ("files", "cause", "message"),
    [
        ({"Dockerfile": "FROM {base}\nRUN echo hello && exit 7\n"}, "command_failed", "exit"),
        ({"environment.yml": "name: x\n  dependencies: [\n"}, "environment_yml_invalid", "environment.yml"),
        ({"requirements.txt": "no-such-package-r2h==1\n"}, "package_not_found", "no-such-package-r2h"),
        ({"apt.txt": "no-such-package-r2h\n"}, "apt_package_not_found", "no-such-package-r2h"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_user_error_is_final_and_explained(
    service: Service, repository: BareRepository, files: dict[str, str], cause: str, message: str
) -> None:
    written = {path: text.replace("{base}", service.base_image) for path, text in files.items()}
    build = fails(service, repository, written)
    assert (build["reason"], build["cause"]) == ("user_error", cause)
    assert message in build["message"]
    assert build["attempt"] == 1


def test_an_unknown_ref_and_a_missing_repository_are_refused_with_a_message(
    service: Service, repository: BareRepository
) -> None:
    repository.commit({"README.md": "x"})
    no_ref = service.post("builds", {"repository": repository.full_name, "ref": "nosuch"})
    assert no_ref.status_code == 404
    assert "nosuch" in no_ref.json()["error"]["message"]
    missing = service.post("builds", {"repository": "org/does-not-exist", "ref": "HEAD"})
    assert missing.status_code == 404
    assert "org/does-not-exist" in missing.json()["error"]["message"]


def test_a_commit_that_is_gone_fails_with_a_message(service: Service, repository: BareRepository) -> None:
    repository.commit({"README.md": "x"})
    build = service.wait_for(service.push(repository.full_name, NO_SUCH_COMMIT)["build"])
    assert (build["status"], build["reason"]) == ("failed", "user_error")
    assert NO_SUCH_COMMIT[:7] in build["message"]


def test_a_link_out_of_the_checkout_is_refused_and_leaks_nothing(
    service: Service, repository: BareRepository
) -> None:
    commit = repository.commit({"README.md": "x"}, links={"runtime.txt": "/proc/self/environ"})
    build = service.wait_for(service.push(repository.full_name, commit)["build"])
    assert (build["status"], build["reason"]) == ("failed", "user_error")
    assert "runtime.txt" in build["message"]
    assert "REPO2HUB" not in service.log(build["id"])


def test_the_time_limits_end_a_build(
    start_service: Callable[..., Service], repository: BareRepository
) -> None:
    service = start_service(BUILD_TIMEOUT="16", BUILD_IDLE_TIMEOUT="8")
    build = fails(service, repository, service.dockerfile("echo sleeping && sleep 599"))
    assert (build["reason"], build["cause"]) == ("time_limit", "idle_limit")
    assert "REPO2HUB_BUILD_IDLE_TIMEOUT" in build["message"]
    build = fails(service, repository, service.dockerfile("while true; do echo tick; sleep 0.5; done"))
    assert (build["reason"], build["cause"]) == ("time_limit", "time_limit")


SMALL = {"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"}  # quickly pushed

#: "hub:right password", bcrypt with the lowest cost
HTPASSWD = "hub:$2b$04$abcdefghijklmnopqrstuuixDYXMqh7K8om9LBImBUW2GGY1bih2C\n"


@dataclass(frozen=True)
class Guarded:
    """A service, the registry with a password that it pushes to, and the folder with the builder's login."""

    service: Service
    registry: Registry
    docker_config: Path

    def log_in(self, password: str) -> None:
        (self.docker_config / "config.json").write_text(login(self.registry, "hub", password))

    def push(self, repository: BareRepository) -> int:
        """Push a small repository and return its build's id."""
        build_id: int = self.service.push(repository.full_name, repository.commit(SMALL))["build"]
        return build_id

    def failed_attempt(self, repository: BareRepository) -> dict[str, Any]:
        """Return the build of a push after its first attempt, cancelled so that no other follows."""
        build = self.service.wait_until_requeued(self.push(repository))
        assert self.service.post(f"builds/{build['id']}/cancel").status_code == 200
        return build


@pytest.fixture(scope="module")
def guarded(
    start_service: Callable[..., Service], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "htpasswd").write_text(HTPASSWD)
    registry = Registry(folder / "registry", folder / "htpasswd")
    registry.start()
    service = start_service(environ={"DOCKER_CONFIG": str(folder)}, REGISTRY_URL=registry.url)
    yield Guarded(service, registry, folder)
    registry.stop()


def test_a_registry_takes_the_builders_login_and_refuses_a_wrong_one(
    guarded: Guarded, repository: BareRepository
) -> None:
    guarded.log_in("wrong")
    build = guarded.failed_attempt(repository)
    assert build["cause"] == "registry_denied"
    assert "docker login" in str(build["message"])
    guarded.log_in("right password")
    build_id = guarded.push(repository)
    assert guarded.service.wait_for(build_id)["status"] == "succeeded", guarded.service.log(build_id)


def test_a_registry_that_is_down_is_retried_later(guarded: Guarded, repository: BareRepository) -> None:
    guarded.registry.stop()
    try:
        assert guarded.failed_attempt(repository)["cause"] == "registry_unavailable"
    finally:
        guarded.registry.start()
