"""The image that generated Dockerfiles begin with: which one, its Python, and the certificates that it trusts.

On a company network that intercepts TLS, nothing in a build reaches a package registry until the network's own
certificate authority stands in the base image. `resolve` puts it there, once for each base image and bundle.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.errors import BuildError, DockerException, ImageNotFound
from docker.models.images import Image
from requests.exceptions import RequestException

from builder import engine as engines
from builder.errors import InfrastructureError

DEFAULT = "buildpack-deps:24.04"
"""repo2docker's own, by its short name; a test keeps them the same."""

# Debian's and Ubuntu's place, whether or not their ca-certificates package is there. If it comes later, as another
# package's dependency, it writes this file anew from its own bundle and from the folder that COPY puts ours in.
# Not made by update-ca-certificates here: that would drop what the base's maker had put into the file by hand.
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_TRUSTING = (
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
_ENV = " ".join(f"{name}={_BUNDLE}" for name in _TRUSTING)
_DOCKERFILE = f"""\
FROM {{base}}
USER root
COPY extra.crt /usr/local/share/ca-certificates/repo2hub-extra.crt
RUN mkdir -p /etc/ssl/certs && ( echo; cat /usr/local/share/ca-certificates/repo2hub-extra.crt ) >> {_BUNDLE}
ENV {_ENV} UV_SYSTEM_CERTS=1
"""

_python_of: dict[str, str | None] = {}
"""What was answered, by image id: that is a hash of the content, so it is true of every engine, and for good."""

# Debian splits the standard library: a base may have an interpreter without these, which Jupyter needs.
_ASK_PYTHON = "import sqlite3, ssl, sys, venv; print('%d.%d' % sys.version_info[:2])"


def resolve(engine: docker.DockerClient, name: str | None, ca_bundle: Path | None) -> str:
    """Return the reference to build from: `name` or the default, with the extra certificates where given.

    Raises InfrastructureError where the image cannot be had or the bundle cannot be put in.
    """
    image = name or DEFAULT
    if ca_bundle is None:
        return image
    with _answering():
        return with_ca(engine, image, ca_bundle)


def python_version(engine: docker.DockerClient, name: str) -> str | None:
    """Return the image's Python as "3.11", or None where it has none that a virtual environment can stand on.

    The image runs once, without a network, for each image id. Raises InfrastructureError where it cannot be had.
    """
    with _answering():
        image_id = str(_image(engine, name).id)
        if image_id not in _python_of:
            _python_of[image_id] = _ask_python(engine, image_id)
    return _python_of[image_id]


@contextmanager
def _answering() -> Iterator[None]:
    """Tell an engine that does not answer, or no more, from an image that is wrong."""
    try:
        yield
    except RequestException as exc:
        raise engines.unavailable() from exc


def with_ca(engine: docker.DockerClient, name: str, ca_bundle: Path) -> str:
    """Return the tag of an image made from `name` that trusts `ca_bundle` (PEM) beside what it trusted before.

    The tag is the hash of what it is made from, so a second call finds it. Raises InfrastructureError.
    """
    try:
        certificates = ca_bundle.read_bytes()
    except OSError as exc:
        raise _unusable(f"REPO2HUB_EXTRA_CA_CERTS cannot be read: {exc.strerror}") from exc
    if b"-----BEGIN CERTIFICATE-----" not in certificates:
        raise _unusable("REPO2HUB_EXTRA_CA_CERTS names a file without a PEM certificate")
    dockerfile = _DOCKERFILE.format(base=_image(engine, name).id).encode()
    tag = f"repo2hub-base-ca:{hashlib.sha256(dockerfile + certificates).hexdigest()[:16]}"
    try:
        engine.images.get(tag)
    except ImageNotFound:
        _build(engine, tag, {"Dockerfile": dockerfile, "extra.crt": certificates})
    return tag


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
        raise _unusable(f"REPO2HUB_EXTRA_CA_CERTS cannot be put into it: {exc}") from exc


def _image(engine: docker.DockerClient, name: str) -> Image:
    """Return the image, pulled if the engine does not hold it."""
    try:
        try:
            return engine.images.get(name)
        except ImageNotFound:
            return engine.images.pull(name)
    except DockerException as exc:
        raise _unusable(f"{name} cannot be had: {exc}") from exc


def _ask_python(engine: docker.DockerClient, image_id: str) -> str | None:
    try:
        container = engine.containers.create(
            image_id,
            ["-I", "-c", _ASK_PYTHON],
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
        raise _unusable(f"the base image cannot be run: {exc}") from exc
    return str(answer.decode()).strip() if status == 0 else None


def _unusable(why: str) -> InfrastructureError:
    return InfrastructureError("base_image_unusable", f"The base image cannot be used: {why}")
