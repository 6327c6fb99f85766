"""The fast lane's images, built by repo2docker's real command line and asked for what their files promised."""

import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import docker
import pytest
import requests
from docker.models.images import Image

from builder.buildpacks.repo2docker import BuildSpec, command, environment, prepare_home
from builder.buildpacks.uv_cache import cache_id
from builder.engine import base_image as base_images
from tests.acceptance.ask_image import ask, python
from tests.conftest import ROOT
from tests.support.registry import free_port

pytestmark = pytest.mark.engine

REPOSITORIES = ROOT / "tests" / "repositories"


@dataclass
class Images:
    """Builds images with the builder's own command line, and forgets them at the end."""

    engine: docker.DockerClient
    base: str
    folder: Path
    made: list[str] = field(default_factory=list)

    def checkout(self, name: str) -> Path:
        """Return a copy of one of the repositories, for a test to change."""
        return Path(shutil.copytree(REPOSITORIES / name, self.folder / f"{name}-{uuid.uuid4().hex[:8]}"))

    def build(self, checkout: Path, *, cache: str, base: str | None = None) -> tuple[str, str]:
        """Return the image's name and the log as text; a failed build fails the test with its log."""
        home = self.folder / uuid.uuid4().hex
        home.mkdir()
        name = f"r2htest/uv-{home.name}:1"
        recipe = BuildSpec(
            checkout=checkout,
            image=name,
            repository_url="https://github.com/org/repo",
            commit="0" * 40,
            buildpacks=("uv",),
            base_image=base or self.base,
            python_version=base_images.prepare(self.engine, base or self.base, None).python_version,
            cache_id=cache,
        )
        prepare_home(home, os.environ)
        self.made.append(name)
        done = subprocess.run(
            command(recipe),
            env=environment(recipe, home, os.environ),
            cwd=home / "empty",
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        log = done.stdout + "".join(json.loads(line)["message"] for line in done.stderr.splitlines())
        assert done.returncode == 0, log
        return name, log

    def forget(self) -> None:
        for name in self.made:
            self.engine.images.remove(name, force=True)


@pytest.fixture(scope="module")
def images(
    engine: docker.DockerClient, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Images]:
    images = Images(engine, base_image, tmp_path_factory.mktemp("uv-images"))
    yield images
    images.forget()


@pytest.fixture
def cache() -> str:
    """The package cache of a repository that was never built."""
    return cache_id(os.urandom(32), "org/repo")


@pytest.fixture(scope="module")
def plain_image(images: Images) -> str:
    image, _ = images.build(images.checkout("nothing"), cache=cache_id(b"k" * 32, "org/plain"))
    return image


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("whoami", "jovyan"),
        ("id -u", "1000"),
        ("pwd", "/home/jovyan"),
        ("echo $REPO_DIR $HOME", "/home/jovyan /home/jovyan"),
        ("which python3 pip jupyter | xargs dirname | uniq", "/srv/venv/bin"),
        ("bash -lc 'which python3'", "/srv/venv/bin/python3"),
        ("jupyter kernelspec list --json | grep -c '\"python3\"'", "1"),
        ("touch /srv/venv/bin/x && echo writable", "writable"),
        ("ls /tmp /opt/uv /opt/uv-cache 2>/dev/null | grep -v : | tr -d '\\n'", ""),
    ],
)
def test_the_image_has_the_same_user_folders_and_programs_as_repo2dockers(
    images: Images, plain_image: str, question: str, answer: str
) -> None:
    assert ask(plain_image, "bash", "-c", question) == answer


def test_the_image_has_the_programs_of_repo2dockers_notebook_environment(
    images: Images, plain_image: str
) -> None:
    script = "jupyter lab --version; jupyter notebook --version; jupyterhub-singleuser --version"
    majors = [line.partition(".")[0] for line in ask(plain_image, "bash", "-c", script).splitlines()]
    assert majors == ["4", "7", "5"]
    modules = "ipywidgets, jupyter_resource_usage, jupyter_offlinenotebook"
    assert ask(plain_image, *python(f"import {modules}; print(1)")) == "1"


def test_jupyterlab_answers_in_the_image(engine: docker.DockerClient, plain_image: str) -> None:
    port = free_port()
    container = engine.containers.run(
        plain_image,
        ["jupyter", "lab", "--ip=0.0.0.0", "--ServerApp.token=secret"],
        ports={"8888/tcp": ("127.0.0.1", port)},
        detach=True,
    )
    try:
        answer = wait_for(f"http://127.0.0.1:{port}/api/kernelspecs?token=secret")
        assert answer["default"] == "python3"
    finally:
        container.remove(force=True)


def wait_for(url: str) -> dict[str, object]:
    session = requests.Session()
    session.trust_env = False
    retry = requests.adapters.Retry(connect=10, read=10, backoff_factor=0.2)  # about two minutes in all
    session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
    with session:
        answer: dict[str, object] = session.get(url, timeout=30).json()
    return answer


def installed(log: str) -> list[str]:
    """Return what uv printed of the packages that it installed."""
    return [line for line in log.splitlines() if "Installed" in line or "Resolved" in line]


def test_a_changed_notebook_rebuilds_the_copy_layer_only(images: Images, cache: str) -> None:
    checkout = images.checkout("requirements")
    _, first_log = images.build(checkout, cache=cache)
    assert installed(first_log)
    (checkout / "index.ipynb").write_text("{}")
    image, log = images.build(checkout, cache=cache)
    assert installed(log) == []
    assert ask(image, "cat", "index.ipynb") == "{}"


def test_another_repository_reuses_the_layers_of_jupyter(images: Images, cache: str) -> None:
    images.build(images.checkout("nothing"), cache=cache)
    _, log = images.build(images.checkout("requirements"), cache=cache)
    # The one line that the engine prints of a step that it did not run.
    step = next(line.split()[0] for line in log.splitlines() if "fast-lane/jupyter.txt &&" in line)
    assert f"{step} CACHED" in log


def test_a_changed_module_is_installed_even_if_its_version_stays_the_same(images: Images, cache: str) -> None:
    """uv keeps what it built of a folder; a stale wheel of the last commit would be installed."""
    checkout = images.checkout("pyproject")
    project, module = checkout / "pyproject.toml", checkout / "src" / "tides" / "__init__.py"
    os.utime(project, (1, 1))
    images.build(checkout, cache=cache)
    module.write_text("LEVEL = 2\n")
    os.utime(project, (1, 1))
    image, _ = images.build(checkout, cache=cache)
    assert ask(image, *python("import tides; print(tides.LEVEL)")) == "2"


def traces(image: Image) -> str:
    """Return everything that an image records about how it was made."""
    return json.dumps([image.history(), image.attrs])


def test_the_cache_id_is_in_no_log_history_or_configuration(
    images: Images, engine: docker.DockerClient, cache: str
) -> None:
    image, log = images.build(images.checkout("requirements"), cache=cache)
    assert "--mount=type=cache,id=***," in log, "BuildKit printed the instruction, and the id was masked"
    assert cache not in log
    recorded = traces(engine.images.get(image))
    assert "uv pip install" in recorded
    assert cache not in recorded and "***" not in recorded


def files_in_caches(images: Images, *ids: str, then: str = "true") -> list[int]:
    """Build another repository's Dockerfile that counts the files in the cache of each id, and does `then` there.

    An empty id stands for none, which BuildKit takes as the mount's path. The owner is as uv's, or BuildKit would
    hold it for another cache.
    """
    lines = [f"FROM {images.base}"]
    for cache in ids:
        mount = f"--mount=type=cache,{f'id={cache},' if cache else ''}target=/opt/uv-cache,uid=1000,gid=1000"
        # The number that never came before keeps BuildKit from taking an earlier test's step.
        count = f"echo {uuid.uuid4()} holds $(find /opt/uv-cache -type f ! -name poison | wc -l) files"
        lines.append(f"RUN {mount} {count} && {then}")
    checkout = images.folder / uuid.uuid4().hex
    checkout.mkdir()
    (checkout / "Dockerfile").write_text("\n".join(lines))
    _, log = images.build(checkout, cache="")
    counts = [int(found) for found in re.findall(r"holds (\d+) files", log)]
    assert len(counts) == len(ids), log
    return counts


GUESSES = (
    "",
    "/opt/uv-cache",
    "uv",
    "uv-",
    "org/repo",
    "uv-org/repo",
    cache_id(b"0" * 32, "org/repo"),
    "***",
)


def test_the_dockerfile_of_another_repository_cannot_guess_the_cache_id(images: Images, cache: str) -> None:
    images.build(images.checkout("requirements"), cache=cache)
    assert files_in_caches(images, *GUESSES) == [0] * len(GUESSES)
    # Who knows the id sees the packages: the guesses were empty because they were wrong.
    assert files_in_caches(images, cache)[0] > 10


def test_uv_does_not_read_what_another_repository_left_under_a_guessed_cache_id(
    images: Images, cache: str
) -> None:
    files_in_caches(images, *GUESSES, then="touch /opt/uv-cache/poison")
    checkout = images.checkout("local-requirements")
    (checkout / "setup.py").write_text(
        "import os, setuptools\n"
        "open('seen.txt', 'w').write(' '.join(os.listdir('/opt/uv-cache')))\n"
        "setuptools.setup(name='editable-project', version='1', py_modules=['editable_project'])\n"
    )
    image, _ = images.build(checkout, cache=cache)
    seen = ask(image, "cat", "seen.txt").split()
    assert "CACHEDIR.TAG" in seen
    assert "poison" not in seen


POISON = """
import pathlib, setuptools
for module in pathlib.Path("/opt/uv-cache").rglob("cowsay/__init__.py"):
    module.write_text("__version__ = 'poisoned'")
setuptools.setup(name="poisoner", version="1", py_modules=[])
"""


def test_a_poisoned_cache_reaches_no_other_repository_through_an_equal_layer(
    images: Images, cache: str
) -> None:
    """A poisoned layer would be a poisoned cache: BuildKit has to hold steps with other caches for other steps."""
    attacker = images.checkout("requirements")
    (attacker / "setup.py").write_text(POISON)
    images.build(attacker, cache=cache)
    (attacker / "setup.py").unlink()
    asked = f"cowsay==6.1\n# {uuid.uuid4()}\n"
    (attacker / "requirements.txt").write_text(asked)
    poisoned, _ = images.build(attacker, cache=cache)
    version = python("import cowsay; print(cowsay.__version__)")
    assert ask(poisoned, *version) == "poisoned", "its own image may be poisoned"

    victim = images.checkout("requirements")
    (victim / "requirements.txt").write_text(asked)
    image, _ = images.build(victim, cache=cache_id(os.urandom(32), "org/victim"))
    assert ask(image, *version) == "6.1"
