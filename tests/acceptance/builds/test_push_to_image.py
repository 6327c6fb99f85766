"""From a push to an image: what the product promises, with only GitHub stood in for."""

import json

import docker
import pytest
from docker.errors import ImageNotFound

from demo.github.bare_repository import BareRepository
from demo.github.delivery import ZERO_COMMIT
from demo.github.git_server import GitServer
from tests.acceptance.conftest import Start
from tests.support.registry import Registry
from tests.support.service import Service

pytestmark = pytest.mark.engine

ONE_LINE = "FROM {base}\nRUN echo {word} > /word\nWORKDIR /home\nCOPY . /home/\n"


def dockerfile(service: Service, word: str = "first") -> dict[str, str]:
    return {"Dockerfile": ONE_LINE.format(base=service.base_image, word=word), "notes.ipynb": "{}"}


def test_a_signed_push_becomes_the_image_that_the_lookup_names(
    service: Service, repository: BareRepository, engine: docker.DockerClient
) -> None:
    commit = repository.commit(dockerfile(service), message="First\n\nbody")
    said = service.push(repository.full_name, commit)
    build = service.wait_for(said["build"])
    assert build["status"] == "succeeded", service.log(build["id"])
    found = service.image(repository.full_name, "main")
    assert (found["commit"], found["exact"]) == (commit, True)
    output = engine.containers.run(found["image"], ["cat", "/word"], remove=True)
    assert output == b"first\n"
    labels = engine.images.get(found["image"]).labels
    assert labels["repo2docker.ref"] == commit
    assert labels["repo2docker.repo"].lower().endswith(repository.full_name.lower())
    log = service.log(build["id"])
    assert "[2/4] RUN echo first > /word" in log
    assert list(build["durations"]) == ["waiting", "fetching", "building", "total"]
    assert "ready:" in log.splitlines()[-1]


def test_the_same_push_again_builds_nothing(service: Service, repository: BareRepository) -> None:
    commit = repository.commit(dockerfile(service))
    first = service.push(repository.full_name, commit)
    service.wait_for(first["build"])
    again = service.push(repository.full_name, commit)
    assert again["outcome"] == "exists"
    on_a_tag = service.push(repository.full_name, commit, ref="refs/tags/v1")
    assert on_a_tag["outcome"] == "exists"
    assert service.image(repository.full_name, "v1")["commit"] == commit
    listed = service.get(f"builds?repository={repository.full_name}")
    assert len(listed["builds"]) == 1


def test_a_lookup_of_what_was_pushed_asks_no_git_server(
    service: Service, repository: BareRepository, github: GitServer
) -> None:
    commit = repository.commit(dockerfile(service))
    build = service.push(repository.full_name, commit)["build"]
    service.wait_for(build)
    before = len(github.requests)
    for ref in ("main", "HEAD", "refs/heads/main", commit, commit[:10]):
        assert service.image(repository.full_name.upper(), ref)["commit"] == commit
    assert len(github.requests) == before


def test_a_commit_that_was_never_pushed_here_is_built_on_request(
    service: Service, repository: BareRepository
) -> None:
    commit = repository.commit(dockerfile(service), branch="feature/plots")
    missing = service.image(repository.full_name, "feature/plots")
    assert missing["state"] == "none"
    build = service.wait_for(service.request_build(repository.full_name, "feature/plots"))
    assert build["status"] == "succeeded"
    assert service.image(repository.full_name, "feature/plots")["commit"] == commit


def test_after_a_failed_commit_the_last_good_image_is_the_fallback(
    service: Service, repository: BareRepository
) -> None:
    good = repository.commit(dockerfile(service))
    service.wait_for(service.push(repository.full_name, good)["build"])
    bad = repository.commit({"Dockerfile": f"FROM {service.base_image}\nRUN exit 7\n"})
    failed = service.wait_for(service.push(repository.full_name, bad, before=good)["build"])
    assert failed["status"] == "failed"
    answer = service.image(repository.full_name, "main")
    assert answer["state"] == "failed"
    assert answer["fallback"]["commit"] == good


def test_a_deleted_branch_has_no_image(service: Service, repository: BareRepository) -> None:
    commit = repository.commit(dockerfile(service))
    service.wait_for(service.push(repository.full_name, commit)["build"])
    repository.delete_ref("refs/heads/main")
    service.push(repository.full_name, ZERO_COMMIT, before=commit)
    assert service.image(repository.full_name, "main")["state"] == "unknown_ref"


def test_a_rebuild_builds_although_the_image_exists_and_uses_no_cached_step(
    service: Service, repository: BareRepository, engine: docker.DockerClient
) -> None:
    files = {"Dockerfile": f"FROM {service.base_image}\nRUN date +%N%s > /stamp\n"}
    commit = repository.commit(files)
    first = service.push(repository.full_name, commit)["build"]
    service.wait_for(first)
    image = service.image(repository.full_name, "main")["image"]
    stamp = engine.containers.run(image, ["cat", "/stamp"], remove=True)
    replaced = engine.images.get(image).id
    again = service.post(f"builds/{first}/rebuild")
    assert again.status_code == 202
    service.wait_for(again.json()["build"]["id"])
    assert engine.containers.run(image, ["cat", "/stamp"], remove=True) != stamp
    with pytest.raises(ImageNotFound):
        engine.images.get(replaced)


def test_the_command_line_requests_follows_and_looks_up(service: Service, repository: BareRepository) -> None:
    commit = repository.commit(dockerfile(service, "from-the-cli"))
    built = service.run("build", f"{repository.full_name}@main")
    assert built.returncode == 0, built.stderr
    assert "from-the-cli" in built.stdout + built.stderr
    found = service.run("lookup", "--json", repository.full_name)
    assert json.loads(found.stdout)["commit"] == commit
    none = service.run("lookup", f"{repository.full_name}@nosuch")
    assert (none.returncode, none.stdout) == (3, "")


def test_an_image_is_pushed_to_the_registry_and_its_digest_recorded(
    start_service: Start, repository: BareRepository, registry: Registry
) -> None:
    service = start_service(REGISTRY_URL=registry.url)
    commit = repository.commit({"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})  # quickly pushed
    build = service.wait_for(service.push(repository.full_name, commit)["build"])
    assert build["status"] == "succeeded", service.log(build["id"])
    found = service.image(repository.full_name, "main")
    host, _, rest = found["image"].partition("/")
    name, _, tag = rest.rpartition(":")
    assert host == f"127.0.0.1:{registry.port}"
    assert found["digest"] == registry.digest(name, tag) is not None
    assert list(build["durations"]) == ["waiting", "fetching", "building", "pushing", "total"]
