"""The image that builds begin with: asked for its Python, and made to trust a network's own certificates."""

import io
import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from builder.buildpacks.uv_cache import cache_id
from builder.child_process import StopSignal
from builder.engine import base_image as base_images
from builder.engine.docker_subprocess import DockerSubprocess
from builder.errors import InfrastructureError
from tests.acceptance.ask_image import ask, python
from tests.acceptance.images.test_uv_images import Images
from tests.support.registry import Registry

pytestmark = pytest.mark.engine

MACHINE_CA = Path("/etc/ssl/certs/ca-certificates.crt")
"""What this machine trusts: with TLS intercepted or not, it reaches the package index."""

OTHER_CA = Path(__file__).with_name("extra-ca.pem")
"""A self-signed authority of nobody's, whose key was never kept."""

NO_CA = """\
FROM {base}
RUN rm -rf /etc/ssl/certs /usr/share/ca-certificates /usr/local/share/ca-certificates \
    /usr/sbin/update-ca-certificates /etc/ca-certificates*
"""


@pytest.fixture(scope="module")
def base_without_ca(engine: docker.DockerClient, base_image: str) -> Iterator[str]:
    """The base image without certificates, the tool that makes their bundle, or a variable that names one."""
    name = f"r2htest-no-ca:{uuid.uuid4().hex[:8]}"
    stripped, _ = engine.images.build(fileobj=io.BytesIO(NO_CA.format(base=base_image).encode()), rm=True)
    container = engine.containers.create(stripped.id, "true")
    # An imported file system has no configuration, and so none of the base's variables.
    with subprocess.Popen(["docker", "export", str(container.id)], stdout=subprocess.PIPE) as export:
        subprocess.run(
            ["docker", "import", "-", name], stdin=export.stdout, stdout=subprocess.DEVNULL, check=True
        )
    container.remove()
    engine.images.remove(stripped.id, force=True)
    yield name
    engine.images.remove(name, force=True)


def run(image: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["docker", "run", "--rm", image, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


DOWNLOAD = ("pip3", "download", "--quiet", "--no-deps", "--retries=0", "--dest=/tmp/x", "iniconfig")


def test_the_python_version_of_an_image_is_probed_once_for_all_clients(
    engine: docker.DockerClient, base_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "import sys; print('%d.%d' % sys.version_info[:2])"
    expected = run(base_image, "python3", "-c", command).stdout.strip()
    made = base_images.prepare(engine, base_image, None)
    assert made.python_version == expected

    def must_not_run(*_arguments: object) -> str:
        raise AssertionError("the image was run again")

    monkeypatch.setattr(base_images, "_probe_python", must_not_run)
    other = docker.from_env()
    assert (
        base_images.find_prepared(other, base_image, None)
        == base_images.prepare(other, base_image, None)
        == made
    )
    other.close()


@pytest.fixture
def far_image(engine: docker.DockerClient, base_image: str, registry: Registry) -> Iterator[str]:
    """An image that a registry has and the engine has not, with a layer that the engine has not either."""
    name = f"{registry.url.removeprefix('http://')}/base:1"
    dockerfile = f"FROM {base_image}\nRUN echo {uuid.uuid4()} > /new\n"
    engine.images.build(fileobj=io.BytesIO(dockerfile.encode()), tag=name, rm=True)
    engine.images.push(name)
    engine.images.remove(name)
    yield name
    engine.images.remove(name)


def test_a_missing_image_is_pulled_by_a_process_and_the_log_shows_the_progress(
    engine: docker.DockerClient, base_image: str, far_image: str, tmp_path: Path
) -> None:
    assert base_images.find_prepared(engine, far_image, None) is None
    log: list[str] = []
    child = DockerSubprocess(os.environ, tmp_path, write=log.append, stop=StopSignal(), timeout=300)
    pulled = base_images.prepare_in_child(child, far_image, None)
    assert log[0] == f"[repo2hub] pulling base image {far_image}"
    assert [line for line in log if line.endswith(": Pull complete")]
    assert pulled.python_version == base_images.prepare(engine, base_image, None).python_version
    assert base_images.find_prepared(engine, far_image, None) == pulled


@pytest.mark.parametrize("missing", ["/usr/bin/python3*", "/usr/lib/python3*/sqlite3 /usr/lib/python3*/venv"])
def test_an_image_with_an_incomplete_python_counts_as_one_without(
    engine: docker.DockerClient, base_image: str, missing: str
) -> None:
    dockerfile = f"FROM {base_image}\nRUN rm -rf {missing}\n"
    image, _ = engine.images.build(fileobj=io.BytesIO(dockerfile.encode()), rm=True)
    try:
        assert base_images.prepare(engine, str(image.id), None).python_version is None
        assert engine.containers.list(all=True, filters={"ancestor": image.id}) == [], (
            "nothing is left behind"
        )
    finally:
        engine.images.remove(image.id, force=True)


def test_an_unavailable_base_image_is_for_the_admin_to_fix(engine: docker.DockerClient) -> None:
    with pytest.raises(InfrastructureError, match=r"cannot pull 127\.0\.0\.1:1/nosuch:1"):
        base_images.prepare(engine, "127.0.0.1:1/nosuch:1", None)


def test_builds_on_a_base_without_certificates_reach_the_index_with_the_extra_ones(
    engine: docker.DockerClient, base_without_ca: str, trusting_images: Images
) -> None:
    assert run(base_without_ca, *DOWNLOAD).returncode != 0, "nothing is trusted yet"
    trusting = base_images.prepare(engine, base_without_ca, MACHINE_CA).name
    trusting_images.made.append(trusting)
    assert run(trusting, *DOWNLOAD).stderr == ""
    image, _ = trusting_images.build(
        trusting_images.checkout("requirements"), cache=cache_id(b"k" * 32, "org/ca"), base=trusting
    )
    assert ask(image, *python("import cowsay; print(cowsay.__version__)")) == "6.1"
    # A later ca-certificates package, as another package's dependency, keeps what we put in.
    later = "apt-get -qq update && apt-get -qq install --reinstall --yes ca-certificates >/dev/null 2>&1"
    download = " ".join(DOWNLOAD)
    assert run(trusting, "sh", "-c", f"{later} && {download} && echo reached").stdout.strip() == "reached"


@pytest.fixture
def trusting_images(engine: docker.DockerClient, base_image: str, tmp_path: Path) -> Iterator[Images]:
    images = Images(engine, base_image, tmp_path)
    yield images
    images.forget()


COUNT = "import ssl; c = ssl.create_default_context().get_ca_certs(); print(len(c), 'repo2hub' in str(c))"


def test_extra_certificates_are_added_to_those_of_the_base(
    engine: docker.DockerClient, base_image: str, trusting_images: Images
) -> None:
    before, _ = run(base_image, "python3", "-c", COUNT).stdout.split()
    trusting = base_images.image_with_ca(engine, base_image, OTHER_CA)
    trusting_images.made.append(trusting)
    after, there = run(trusting, "python3", "-c", COUNT).stdout.split()
    assert (int(after), there) == (int(before) + 1, "True")
    assert run(trusting, *DOWNLOAD).stderr == "", "what the base trusted is trusted still"


def test_the_image_with_certificates_is_created_once_for_a_base_and_a_bundle(
    engine: docker.DockerClient, base_image: str, trusting_images: Images
) -> None:
    first = base_images.image_with_ca(engine, base_image, OTHER_CA)
    other = base_images.image_with_ca(engine, base_image, MACHINE_CA)
    trusting_images.made += [first, other]
    made = engine.images.get(first).id
    assert base_images.image_with_ca(engine, base_image, OTHER_CA) == first
    base = base_images.prepare(engine, base_image, OTHER_CA)
    assert base.name == first and base_images.find_prepared(engine, base_image, OTHER_CA) == base
    assert engine.images.get(first).id == made
    assert other != first


def test_every_tool_of_a_build_finds_the_certificates(
    engine: docker.DockerClient, base_image: str, trusting_images: Images
) -> None:
    trusting = base_images.image_with_ca(engine, base_image, OTHER_CA)
    trusting_images.made.append(trusting)
    variables = json.loads(
        run(trusting, "python3", "-c", "import os, json; print(json.dumps(dict(os.environ)))").stdout
    )
    named = {name for name, value in variables.items() if value == "/etc/ssl/certs/ca-certificates.crt"}
    assert {
        "SSL_CERT_FILE",
        "PIP_CERT",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
    } <= named
    assert {"CONDA_SSL_VERIFY", "GIT_SSL_CAINFO", "NIX_SSL_CERT_FILE"} <= named
    assert variables["UV_SYSTEM_CERTS"] == "1"


@pytest.mark.parametrize("content", [None, "not a certificate"])
def test_an_invalid_bundle_is_named_by_its_setting(
    engine: docker.DockerClient, base_image: str, tmp_path: Path, content: str | None
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(InfrastructureError, match="REPO2HUB_EXTRA_CA_CERTS") as caught:
        base_images.image_with_ca(engine, base_image, bundle)
    assert str(tmp_path) not in caught.value.message
