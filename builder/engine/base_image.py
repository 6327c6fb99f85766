"""The image that generated Dockerfiles start from: pulled, with extra CA certificates, and its Python version.

On a network that intercepts TLS, no build reaches a package registry until the base image trusts the network's own
certificate authority. `prepare` makes such an image, once for each base image and bundle. It can take long, so it
runs in a child process (see `docker_subprocess`) whenever `find_prepared` finds nothing.
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

from builder.engine import docker_client, docker_subprocess
from builder.engine.docker_subprocess import DockerSubprocess, emit
from builder.engine.layer_progress import LayerProgress
from builder.errors import InfrastructureError

DEFAULT_BASE_IMAGE = "buildpack-deps:24.04"
"""repo2docker's default, by its short name; a test keeps the two equal."""

# Where Debian and Ubuntu keep it, with or without their ca-certificates package. If that package is installed
# later, it rewrites this file from its own bundle and from the folder that COPY puts our certificates in.
# update-ca-certificates is not run here: it would drop what the base image's author added to the file by hand.
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
"""The Python version of each image id. An id is a hash of the content, so an entry never becomes outdated."""

# Debian splits the standard library: a base image may have Python without these modules, which Jupyter needs.
_PYTHON_PROBE = "import sqlite3, ssl, sys, venv; print('%d.%d' % sys.version_info[:2])"


@dataclass(frozen=True)
class PreparedBase:
    """A base image: its name, its id, and its Python version such as "3.11".

    The version is None where the image has no Python that supports virtual environments, or where it was not
    probed.
    """

    name: str
    image_id: str = ""
    python_version: str | None = None


def find_prepared(client: docker.DockerClient, name: str, extra_ca_certs: Path | None) -> PreparedBase | None:
    """Return what `prepare` would, or None if it would have work to do. Raises InfrastructureError."""
    with _engine_errors():
        image = _local_image(client, name)
        if image is not None and extra_ca_certs is not None:
            name, _ = _ca_image_inputs(image, extra_ca_certs)
            image = _local_image(client, name)
    if image is None or image.id not in _python_versions:
        return None
    return PreparedBase(name, str(image.id), _python_versions[image.id])


def prepare_in_child(child: DockerSubprocess, name: str, extra_ca_certs: Path | None) -> PreparedBase:
    """Return what `prepare` does, run in a child process. Raises InfrastructureError or Stopped."""
    result = child.run(__name__, name, str(extra_ca_certs or ""), error_for=unusable_error)
    if not result:
        raise unusable_error("preparing it ended without a result")
    base = PreparedBase(**result)
    _python_versions[base.image_id] = base.python_version
    return base


def prepare(client: docker.DockerClient, name: str, extra_ca_certs: Path | None) -> PreparedBase:
    """Return the image `name`, or one built from it that also trusts `extra_ca_certs`, with its Python version.

    Pulls the image if the engine does not have it, and runs it once, without network, for each image id. Emits
    progress. Raises InfrastructureError.
    """
    with _engine_errors():
        if extra_ca_certs is not None:
            name = image_with_ca(client, name, extra_ca_certs)
        image_id = str(_pulled_image(client, name).id)
        if image_id not in _python_versions:
            _python_versions[image_id] = _probe_python(client, image_id)
    return PreparedBase(name, image_id, _python_versions[image_id])


@contextmanager
def _engine_errors() -> Iterator[None]:
    """Distinguish an engine that does not answer from an unusable image."""
    try:
        yield
    except RequestException as exc:
        raise docker_client.unavailable_error() from exc


def image_with_ca(client: docker.DockerClient, name: str, extra_ca_certs: Path) -> str:
    """Return the tag of an image built from `name` that also trusts `extra_ca_certs` (PEM).

    The tag is a hash of the inputs, so a second call finds the image. Raises InfrastructureError.
    """
    tag, files = _ca_image_inputs(_pulled_image(client, name), extra_ca_certs)
    if _local_image(client, tag) is None:
        _build(client, tag, files)
    return tag


def _ca_image_inputs(image: Image, extra_ca_certs: Path) -> tuple[str, dict[str, bytes]]:
    """Return the tag of the image that is built from `image`, and the files of its build context."""
    try:
        certificates = extra_ca_certs.read_bytes()
    except OSError as exc:
        raise unusable_error(f"cannot read REPO2HUB_EXTRA_CA_CERTS: {exc.strerror}") from exc
    if b"-----BEGIN CERTIFICATE-----" not in certificates:
        raise unusable_error("REPO2HUB_EXTRA_CA_CERTS has no PEM certificate")
    dockerfile = _DOCKERFILE.format(base=image.id).encode()
    tag = f"repo2hub-base-ca:{hashlib.sha256(dockerfile + certificates).hexdigest()[:16]}"
    return tag, {"Dockerfile": dockerfile, "extra.crt": certificates}


def _build(client: docker.DockerClient, tag: str, files: dict[str, bytes]) -> None:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    context.seek(0)
    try:
        client.images.build(fileobj=context, custom_context=True, tag=tag, rm=True, forcerm=True)
    except (BuildError, DockerException) as exc:
        raise unusable_error(f"cannot add REPO2HUB_EXTRA_CA_CERTS: {exc}") from exc


def _pulled_image(client: docker.DockerClient, name: str) -> Image:
    """Return the image; pull it if the engine does not have it."""
    return _local_image(client, name) or _pull(client, name)


def _local_image(client: docker.DockerClient, name: str) -> Image | None:
    try:
        return client.images.get(name)
    except ImageNotFound:
        return None
    except DockerException as exc:
        raise _not_available_error(name, exc) from exc


def _pull(client: docker.DockerClient, name: str) -> Image:
    emit(text=f"[repo2hub] pulling base image {name}")
    repository, tag = parse_repository_tag(name)
    progress = LayerProgress()
    try:
        for event in client.api.pull(repository, tag=tag or "latest", stream=True, decode=True):
            if event.get("error"):  # docker-py does not raise for it
                raise _not_available_error(name, event["error"])
            line = progress.add(event, time.monotonic())
            if line is not None:
                emit(text=line)
        return client.images.get(name)
    except DockerException as exc:
        raise _not_available_error(name, exc) from exc


def _not_available_error(name: str, why: object) -> InfrastructureError:
    return unusable_error(f"cannot pull {name}: {why}")


def _probe_python(client: docker.DockerClient, image_id: str) -> str | None:
    try:
        container = client.containers.create(
            image_id,
            ["-I", "-c", _PYTHON_PROBE],
            entrypoint="python3",
            network_mode="none",
            cap_drop=["ALL"],
        )
        # Not `containers.run`, which leaves the container behind if it has no python3.
        try:
            container.start()
            status = container.wait()["StatusCode"]
            answer = container.logs(stdout=True, stderr=False)
        finally:
            container.remove(force=True)
    except DockerException as exc:
        if "executable file not found" in str(exc):
            return None
        raise unusable_error(f"cannot run it: {exc}") from exc
    return str(answer.decode()).strip() if status == 0 else None


def unusable_error(why: str) -> InfrastructureError:
    """Return the error for an unusable base image."""
    return InfrastructureError("base_image_unusable", f"The base image is unusable: {why}")


def _main(image: str, extra_ca_certs: str) -> int:
    def work(client: docker.DockerClient) -> None:
        emit(**asdict(prepare(client, image, Path(extra_ca_certs) if extra_ca_certs else None)))

    return docker_subprocess.run_with_client(work)


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
