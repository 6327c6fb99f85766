"""Run repo2docker as a child process: its command line, its environment and its result.

Never in-process: repo2docker changes the process's current folder and its exception hooks. It runs in a folder
of its own, since it executes a repo2docker_config.py of the current one, and in an environment without our
settings, since a repository can make it print its environment.
"""

import json
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder import child_process
from builder.child_process import StopSignal
from builder.logs.diagnosis import TAIL_LINES, diagnose

CONFIG = Path(__file__).with_name("repo2docker_config.py")

# Locations of programs, certificates and the engine, and proxies.
_INHERITED_VARIABLES = (
    "PATH",
    "LANG",
    "LC_ALL",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "DOCKER_HOST",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
)


@dataclass(frozen=True)
class BuildSpec:
    """What to build: the checkout, the image's name, and how."""

    checkout: Path
    image: str
    repository_url: str
    commit: str
    buildpacks: Sequence[str]
    base_image: str | None = None
    python_version: str | None = None
    cache_id: str | None = None
    repo_dir: str | None = None
    no_cache: bool = False


def command(spec: BuildSpec) -> list[str]:
    """Return repo2docker's command line.

    Always an absolute path of a checked-out commit, since `--ref a/b` can build another branch.
    """
    return [
        sys.executable,
        "-P",  # keep the current folder off sys.path
        "-m",
        "repo2docker",
        "--config",
        str(CONFIG),
        "--json-logs",
        "--no-run",
        "--engine=docker",
        "--user-id=1000",
        "--user-name=jovyan",
        f"--image-name={spec.image}",
        f"--label=repo2docker.repo={spec.repository_url}",
        f"--label=repo2docker.ref={spec.commit}",
        *([f"--target-repo-dir={spec.repo_dir}"] if spec.repo_dir else []),
        str(spec.checkout.absolute()),
    ]


def environment(spec: BuildSpec, home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the child's whole environment; `home` is its private home and temporary folder.

    DOCKER_CONFIG is a folder without registry logins, so a Dockerfile can only pull public images.
    """
    values = {
        "buildpacks": list(spec.buildpacks),
        "base_image": spec.base_image,
        "python_version": spec.python_version,
        "cache_id": spec.cache_id,
        "no_cache": spec.no_cache,
    }
    kept = {name: environ[name] for name in _INHERITED_VARIABLES if name in environ}
    return kept | {
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "DOCKER_CONFIG": str(home / "docker"),
        "DOCKER_BUILDKIT": "1",
        "BUILDKIT_PROGRESS": "plain",
        "PYTHONUNBUFFERED": "1",
        "REPO2HUB_REPO2DOCKER": json.dumps(values),
    }


def prepare_home(home: Path, environ: Mapping[str, str]) -> None:
    """Make the child's private folders, with a link to buildx if it is installed for the builder's user only."""
    for folder in (home, home / "tmp", home / "docker", home / "empty"):
        folder.mkdir(mode=0o700, exist_ok=True)
    docker_config = environ.get("DOCKER_CONFIG") or str(Path(environ.get("HOME", "/")) / ".docker")
    plugins = Path(docker_config) / "cli-plugins"
    if plugins.is_dir():
        (home / "docker" / "cli-plugins").symlink_to(plugins)


def run(
    spec: BuildSpec,
    *,
    home: Path,
    environ: Mapping[str, str],
    write: Callable[[str], None],
    stop: StopSignal,
    timeout: float,
    idle_timeout: float,
) -> None:
    """Build the image. Raises UserError or InfrastructureError, with the cause of the failure, or Stopped."""
    tail: deque[str] = deque(maxlen=TAIL_LINES)

    def on_line(line: str) -> None:
        text = parse_line(line)
        tail.extend(text.splitlines())
        write(text)

    prepare_home(home, environ)
    returncode = child_process.run(
        command(spec),
        env=environment(spec, home, environ),
        cwd=home / "empty",
        on_line=on_line,
        stop=stop,
        timeout=timeout,
        idle_timeout=idle_timeout,
    )
    if returncode != 0:
        raise diagnose(list(tail), returncode)


def parse_line(line: str) -> str:
    """Return the message of a line of `repo2docker --json-logs`, or the line itself if it is none. Never raises.

    A message may have several lines. `exc_info`, the traceback of a failure, is left out: the message says the
    same.
    """
    if line.startswith("{"):
        try:
            message = json.loads(line).get("message")
        except (ValueError, RecursionError):
            return line
        if isinstance(message, str):
            return message.rstrip("\r\n")
    return line
