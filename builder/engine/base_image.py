"""The image that generated Dockerfiles begin with: which one, its Python, and the certificates that it trusts.

On a company network that intercepts TLS, nothing in a build reaches a package registry until the network's own
certificate authority stands in the base image. `prepare` puts it there, once for each base image and bundle.

A pull can take long, so `prepare` is a child process (see `engine_child`), which runs where `find_prepared` misses something.
"""

import hashlib
import io
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import docker
from docker.errors import BuildError, DockerException, ImageNotFound
from docker.models.images import Image
from docker.utils import parse_repository_tag
from requests.exceptions import RequestException

from builder.engine import docker_client as engines
from builder.engine import docker_subprocess
from builder.engine.docker_subprocess import emit
from builder.engine.layer_progress import LayerProgress
from builder.errors import InfrastructureError

DEFAULT_BASE_IMAGE = "buildpack-deps:24.04"
"""repo2docker's own, by its short name; a test keeps them the same."""

# Debian's and Ubuntu's place, whether or not their ca-certificates package is there. If it comes later, as another
# package's dependency, it writes this file anew from its own bundle and from the folder that COPY puts ours in.
# Not made by update-ca-certificates here: that would drop what the base's maker had put into the file by hand.
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_CA_VARIABLES = (
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "CONDA_SSL_VERIFY",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "JULIA_SSL_CA_ROOTS_PATH",
    "MAMBA_SSL_VERIFY",
    "NIX_SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
)
_CA_ENVIRONMENT = " ".join(f"{name}={_BUNDLE}" for name in _CA_VARIABLES)
_DOCKERFILE = f"""\
FROM {{base}}
USER root
COPY extra.crt /usr/local/share/ca-certificates/repo2hub-extra.crt
RUN mkdir -p /etc/ssl/certs && ( echo; cat /usr/local/share/ca-certificates/repo2hub-extra.crt ) >> {_BUNDLE}
ENV {_CA_ENVIRONMENT} UV_SYSTEM_CERTS=1
"""

_python_versions: dict[str, str | None] = {}
"""What was answered, by image id: that is a hash of the content, so it is true of every engine, and for good."""

# Debian splits the standard library: a base may have an interpreter without these, which Jupyter needs.
_PYTHON_PROBE = "import sqlite3, ssl, sys, venv; print('%d.%d' % sys.version_info[:2])"


@dataclass(frozen=True)
class PreparedBase:
    """What to build from: a reference to the image, its id, and its Python as "3.11".

    That is None where it has none that a virtual environment can stand on, or where nobody wanted to know.
    """

    name: str
    image_id: str = ""
    python_version: str | None = None


def find_prepared(engine: docker.DockerClient, name: str, ca_bundle: Path | None) -> PreparedBase | None:
    """Return what `prepare` would, or None where something has to be made for it. Raises InfrastructureError."""
    with _engine_errors():
        image = _local_image(engine, name)
        if image is not None and ca_bundle is not None:
            name, _ = _ca_image_inputs(image, ca_bundle)
            image = _local_image(engine, name)
    if image is None or image.id not in _python_versions:
        return None
    return PreparedBase(name, str(image.id), _python_versions[image.id])


def remember(base: PreparedBase) -> PreparedBase:
    """Let `find_prepared` know what a child process has found out, and return it."""
    _python_versions[base.image_id] = base.python_version
    return base


def prepare(engine: docker.DockerClient, name: str, ca_bundle: Path | None) -> PreparedBase:
    """Return the image `name`, or one made from it that trusts `ca_bundle` too, with its Python.

    It is pulled if the engine does not hold it, and runs once, without a network, for each image id. Says how far
    it is. Raises InfrastructureError where the image cannot be had or the bundle cannot be put in.
    """
    with _engine_errors():
        if ca_bundle is not None:
            name = image_with_ca(engine, name, ca_bundle)
        image_id = str(_pulled_image(engine, name).id)
        if image_id not in _python_versions:
            _python_versions[image_id] = _probe_python(engine, image_id)
    return PreparedBase(name, image_id, _python_versions[image_id])


@contextmanager
def _engine_errors() -> Iterator[None]:
    """Tell an engine that does not answer, or no more, from an image that is wrong."""
    try:
        yield
    except RequestException as exc:
        raise engines.unavailable_error() from exc


def image_with_ca(engine: docker.DockerClient, name: str, ca_bundle: Path) -> str:
    """Return the tag of an image made from `name` that trusts `ca_bundle` (PEM) beside what it trusted before.

    The tag is the hash of what it is made from, so a second call finds it. Raises InfrastructureError.
    """
    tag, files = _ca_image_inputs(_pulled_image(engine, name), ca_bundle)
    if _local_image(engine, tag) is None:
        _build(engine, tag, files)
    return tag


def _ca_image_inputs(image: Image, ca_bundle: Path) -> tuple[str, dict[str, bytes]]:
    """Return the tag of the image that is made from `image`, and the files that it is made with."""
    try:
        certificates = ca_bundle.read_bytes()
    except OSError as exc:
        raise unusable_error(f"REPO2HUB_EXTRA_CA_CERTS cannot be read: {exc.strerror}") from exc
    if b"-----BEGIN CERTIFICATE-----" not in certificates:
        raise unusable_error("REPO2HUB_EXTRA_CA_CERTS names a file without a PEM certificate")
    dockerfile = _DOCKERFILE.format(base=image.id).encode()
    tag = f"repo2hub-base-ca:{hashlib.sha256(dockerfile + certificates).hexdigest()[:16]}"
    return tag, {"Dockerfile": dockerfile, "extra.crt": certificates}


def _build(engine: docker.DockerClient, tag: str, files: dict[str, bytes]) -> None:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    context.seek(0)
    try:
        engine.images.build(fileobj=context, custom_context=True, tag=tag, rm=True, forcerm=True)
    except (BuildError, DockerException) as exc:
        raise unusable_error(f"REPO2HUB_EXTRA_CA_CERTS cannot be put into it: {exc}") from exc


def _pulled_image(engine: docker.DockerClient, name: str) -> Image:
    """Return the image, pulled if the engine does not hold it."""
    return _local_image(engine, name) or _pull(engine, name)


def _local_image(engine: docker.DockerClient, name: str) -> Image | None:
    try:
        return engine.images.get(name)
    except ImageNotFound:
        return None
    except DockerException as exc:
        raise _not_available_error(name, exc) from exc


def _pull(engine: docker.DockerClient, name: str) -> Image:
    emit(text=f"[repo2hub] pulling the base image {name}")
    repository, tag = parse_repository_tag(name)
    progress = LayerProgress()
    try:
        for event in engine.api.pull(repository, tag=tag or "latest", stream=True, decode=True):
            if event.get("error"):  # docker-py does not raise for it
                raise _not_available_error(name, event["error"])
            line = progress.add(event, time.monotonic())
            if line is not None:
                emit(text=line)
        return engine.images.get(name)
    except DockerException as exc:
        raise _not_available_error(name, exc) from exc


def _not_available_error(name: str, why: object) -> InfrastructureError:
    return unusable_error(f"{name} cannot be had: {why}")


def _probe_python(engine: docker.DockerClient, image_id: str) -> str | None:
    try:
        container = engine.containers.create(
            image_id,
            ["-I", "-c", _PYTHON_PROBE],
            entrypoint="python3",
            network_mode="none",
            cap_drop=["ALL"],
        )
        # Not `containers.run`: it leaves the container behind where there is no python3 to start.
        try:
            container.start()
            status = container.wait()["StatusCode"]
            answer = container.logs(stdout=True, stderr=False)
        finally:
            container.remove(force=True)
    except DockerException as exc:
        if "executable file not found" in str(exc):
            return None
        raise unusable_error(f"the base image cannot be run: {exc}") from exc
    return str(answer.decode()).strip() if status == 0 else None


def unusable_error(why: str) -> InfrastructureError:
    """Return the error for a base image that cannot be used."""
    return InfrastructureError("base_image_unusable", f"The base image cannot be used: {why}")


def _main(image: str, ca_bundle: str) -> int:
    def work(engine: docker.DockerClient) -> None:
        emit(**asdict(prepare(engine, image, Path(ca_bundle) if ca_bundle else None)))

    return docker_subprocess.run_with_client(work)


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
