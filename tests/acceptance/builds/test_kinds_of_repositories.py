"""Each kind of repository, from a signed push to a running container that is asked for what its files promised.

A repository with a Dockerfile is in `test_push_to_image.py`. Those that only repo2docker's conda buildpacks take
(environment.yml, install.R) need package servers which are not in reach of every machine that runs the tests: they
are rendered, not built, in `tests/builder/buildpacks/test_repo2docker_config.py`.
"""

import base64
import gzip
import io
import json
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator

import docker
import pytest

from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.acceptance.ask_image import ask, python
from tests.acceptance.leftovers import running_commands
from tests.conftest import ROOT
from tests.support.service import Service

pytestmark = pytest.mark.engine

REPOSITORIES = ROOT / "tests" / "repositories"


def files_of(kind: str) -> dict[str, bytes]:
    """Return the files of one of the repositories beside this file."""
    folder = REPOSITORIES / kind
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("kind", "questions"),
    [
        ("requirements", [(python("import cowsay; print(cowsay.__version__)"), "6.1")]),
        (
            "local-requirements",
            [
                (
                    python(
                        "import editable_project as e, inner_package as i, importlib.metadata as m;"
                        "print(e.NAME, e.__file__, i.NAME, m.version('iniconfig'))"
                    ),
                    "editable /home/jovyan/editable_project.py inner 2.0.0",
                )
            ],
        ),
        ("pyproject", [(python("import tides; print(tides.PARSER, tides.LEVEL)"), "iniconfig 1")]),
        ("setup-py", [(python("import currents, iniconfig; print(currents.SPEED)"), "3")]),
        ("apt", [(("hello",), "Hello, world!")]),
        ("runtime", [(python("import sys; print(sys.version_info[:2])"), "(3, 11)")]),
        (
            "postbuild",
            [
                (("cat", "made-by-postbuild.txt"), "made by jovyan in /home/jovyan"),
                (python("import iniconfig; print(iniconfig.__name__)"), "iniconfig"),
            ],
        ),
        ("start", [(python("import os; print(os.environ['TIDE'])"), "high")]),
        ("binder", [(python("import cowsay; print(cowsay.__version__)"), "6.1")]),
        ("nothing", [(("ls",), "index.ipynb")]),
    ],
)
def test_the_image_of_a_push_has_what_the_repositorys_files_ask_for(
    service: Service, repository: BareRepository, kind: str, questions: list[tuple[tuple[str, ...], str]]
) -> None:
    build = service.wait_for(service.push(repository.full_name, repository.commit(files_of(kind)))["build"])
    assert build["status"] == "succeeded", service.log(build["id"])
    image = service.image(repository.full_name, "main")["image"]
    assert [ask(image, *question) for question, _ in questions] == [answer for _, answer in questions]


def test_submodules_are_in_the_image(service: Service, repository: BareRepository, github: GitServer) -> None:
    part = github.create(f"{repository.full_name}-part")
    revision = part.commit({"tide.txt": "from the submodule"})
    modules = f'[submodule "part"]\n\tpath = data/part\n\turl = ../{part.full_name.rpartition("/")[2]}\n'
    dockerfile = f"FROM {service.base_image}\nCOPY . /files\n"
    commit = repository.commit(
        {".gitmodules": modules, "Dockerfile": dockerfile}, submodules={"data/part": revision}
    )
    build = service.wait_for(service.push(repository.full_name, commit)["build"])
    assert build["status"] == "succeeded", service.log(build["id"])
    image = service.image(repository.full_name, "main")["image"]
    assert ask(image, "cat", "/files/data/part/tide.txt") == "from the submodule"


TOKEN = "ghs_0neTokenForThePrivateRepository"
FORMS = (TOKEN, base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode())


def has_token(where: str) -> bool:
    return any(form in where for form in FORMS)


def contents(image: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield each file of a saved image: its configuration, and what is in its layers."""
    with tarfile.open(fileobj=io.BytesIO(image)) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            data = file.read() if file else b""
            data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
            try:
                yield from contents(data)
            except tarfile.ReadError:
                yield member.name, data


def test_a_private_repository_is_built_and_its_token_is_found_nowhere(
    start_service: Callable[..., Service], github: GitServer, engine: docker.DockerClient
) -> None:
    repository = github.create("Org/private", token=TOKEN)
    service = start_service(GITHUB_TOKEN=TOKEN)
    # All that a step can see of its surroundings, and a .git that stays because the Dockerfile needs it.
    look = f"echo {uuid.uuid4()} && cat /proc/*/environ /proc/*/cmdline | tee /seen"  # never a cached step
    probe = f"FROM {service.base_image} AS probe\nRUN {look}\n"
    commit = repository.commit(
        {"Dockerfile": f"{probe}FROM scratch\nCOPY --from=probe /seen /\nCOPY .git /git\n"}
    )
    with github.stalled():
        build_id = service.push(repository.full_name, commit, private=True)["build"]
        service.wait_for(build_id, phase="fetching")
        deadline = time.monotonic() + 60
        commands = running_commands()
        while not any("git fetch" in command and repository.url in command for command in commands):
            assert time.monotonic() < deadline, commands
            commands = running_commands()
    assert not any(map(has_token, commands))

    build = service.wait_for(build_id)
    assert build["status"] == "succeeded", service.log(build_id)
    assert github.authorized, "without the token nothing would have come"
    assert not has_token(service.log(build_id)) and "PATH=" in service.log(build_id)
    image = engine.images.get(service.image(repository.full_name, "main")["image"])
    assert not has_token(json.dumps([image.history(), image.attrs]))
    kept = dict(contents(b"".join(image.save(named=True))))
    assert repository.url.encode() in kept["git/config"]
    assert not [name for name, data in kept.items() if has_token(data.decode(errors="replace"))]

    # The web process uses the token, too, where it asks for a ref that no push told.
    repository.branch("topic", commit)
    github.authorized.clear()
    assert service.post("builds", {"repository": repository.full_name, "ref": "topic"}).status_code == 200
    assert github.authorized
    stored = {path.name: path.read_bytes() for path in service.data_dir.glob("*.*")}
    assert any(repository.full_name.encode() in data for data in stored.values())
    assert not [name for name, data in stored.items() if has_token(data.decode(errors="replace"))]
