"""Each way in which a build fails, and the line that a person reads."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demo.github.bare_repository import BareRepository
from tests.support.registry import Registry, free_port, login
from tests.support.service import Service

pytestmark = pytest.mark.engine

NO_SUCH_COMMIT = "deadbeef" * 5
# What no message to a user may hold: a traceback, a path of the builder.
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
        ({"Dockerfile": "FROM {base}\nRUNN true\n"}, "dockerfile_syntax", "line 2"),
        ({"environment.yml": "name: x\n  dependencies: [\n"}, "environment_yml_invalid", "environment.yml"),
        ({"environment.yml": "- just\n- a list\n"}, "environment_yml_invalid", "environment.yml"),
        ({"binder/apt.txt": "sl\n", ".binder/apt.txt": "sl\n"}, "both_binder_folders", ".binder"),
        ({"requirements.txt": "no-such-package-r2h==1\n"}, "package_not_found", "no-such-package-r2h"),
        ({"requirements.txt": "flask ===== 3\n"}, "requirements_syntax", "requirements.txt"),
        ({"apt.txt": "no-such-package-r2h\n"}, "apt_package_not_found", "no-such-package-r2h"),
        ({"postBuild": "#!/bin/sh\nexit 3\n"}, "postbuild_failed", "postBuild"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_users_mistake_is_final_and_explained(
    service: Service, repository: BareRepository, files: dict[str, str], cause: str, message: str
) -> None:
    written = {path: text.replace("{base}", service.base_image) for path, text in files.items()}
    build = fails(service, repository, written)
    assert (build["reason"], build["cause"]) == ("user_error", cause)
    assert message in build["message"]
    assert build["attempt"] == 1


def test_an_unknown_ref_and_a_missing_repository_are_refused_with_words(
    service: Service, repository: BareRepository
) -> None:
    repository.commit({"README.md": "x"})
    no_ref = service.post("builds", {"repository": repository.full_name, "ref": "nosuch"})
    assert no_ref.status_code == 404
    assert "nosuch" in no_ref.json()["error"]["message"]
    missing = service.post("builds", {"repository": "org/does-not-exist", "ref": "HEAD"})
    assert missing.status_code == 404
    assert "org/does-not-exist" in missing.json()["error"]["message"]


def test_a_commit_that_is_gone_fails_with_words(service: Service, repository: BareRepository) -> None:
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
    service = start_service(BUILD_TIMEOUT="600", BUILD_IDLE_TIMEOUT="6")
    build = fails(
        service, repository, {"Dockerfile": f"FROM {service.base_image}\nRUN echo sleeping && sleep 599\n"}
    )
    assert (build["reason"], build["cause"]) == ("time_limit", "idle_limit")
    assert "REPO2HUB_BUILD_IDLE_TIMEOUT" in build["message"]
    service = start_service(BUILD_TIMEOUT="8")
    loop = "while true; do echo tick; sleep 0.5; done"
    build = fails(service, repository, {"Dockerfile": f"FROM {service.base_image}\nRUN {loop}\n"})
    assert (build["reason"], build["cause"]) == ("time_limit", "time_limit")


SMALL = {"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"}  # quickly pushed


def test_a_registry_that_is_down_is_tried_again_later(
    start_service: Callable[..., Service], repository: BareRepository
) -> None:
    service = start_service(REGISTRY_URL=f"http://127.0.0.1:{free_port()}")
    commit = repository.commit(SMALL)
    build = service.wait_until_given_back(service.push(repository.full_name, commit)["build"])
    assert build["cause"] == "registry_unavailable"


#: "hub:right password", bcrypt with the lowest cost
HTPASSWD = "hub:$2b$04$abcdefghijklmnopqrstuuixDYXMqh7K8om9LBImBUW2GGY1bih2C\n"


@pytest.mark.parametrize("password", ["wrong", "right password"])
def test_a_registry_takes_the_builders_login_or_says_that_it_is_wrong(
    start_service: Callable[..., Service], repository: BareRepository, tmp_path: Path, password: str
) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    registry = Registry(tmp_path / "registry", tmp_path / "htpasswd")
    registry.start()
    (tmp_path / "config.json").write_text(login(registry, "hub", password))
    try:
        service = start_service(environ={"DOCKER_CONFIG": str(tmp_path)}, REGISTRY_URL=registry.url)
        commit = repository.commit(SMALL)
        build_id = service.push(repository.full_name, commit)["build"]
        if password == "wrong":
            build = service.wait_until_given_back(build_id)
            assert build["cause"] == "registry_denied"
            assert "docker login" in str(build["message"])
        else:
            assert service.wait_for(build_id)["status"] == "succeeded", service.log(build_id)
    finally:
        registry.stop()
