"""repo2docker as a child process: its command line, its environment, and what its end means.

Never in-process: repo2docker changes the process's folder and its exit hooks. It runs in a folder of its own,
because it would execute a repo2docker_config.py of the current one, and with an environment that holds nothing
of ours, because a repository's files can be made to print it.
"""

import json
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder import child_process
from builder.child_process import StopSignal
from builder.errors import BuildError, InfrastructureError, UserError
from builder.logs.diagnosis import diagnose
from builder.logs.output import parse_line
from db.status import Reason

CONFIG = Path(__file__).with_name("repo2docker_config.py")

_TAIL = 400  # lines that the diagnosis reads

# What a build may inherit: where programs, certificates and the engine are, and the way to the network.
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
    """What is built: the checkout, the image's name, and how."""

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

    The reference is always a checked-out commit in an absolute path: `--ref a/b` can build another branch.
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


def environment(spec: BuildSpec, home: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the child's whole environment; `home` is its private home and temporary folder.

    DOCKER_CONFIG is an empty folder: without the builder's registry logins, a Dockerfile can pull only what
    anybody can.
    """
    values = {
        "buildpacks": list(spec.buildpacks),
        "base_image": spec.base_image,
        "python_version": spec.python_version,
        "cache_id": spec.cache_id,
        "no_cache": spec.no_cache,
    }
    kept = {name: inherited[name] for name in _INHERITED_VARIABLES if name in inherited}
    return kept | {
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "DOCKER_CONFIG": str(home / "docker"),
        "DOCKER_BUILDKIT": "1",
        "BUILDKIT_PROGRESS": "plain",
        "PYTHONUNBUFFERED": "1",
        "REPO2HUB_REPO2DOCKER": json.dumps(values),
    }


def prepare_home(home: Path, inherited: Mapping[str, str]) -> None:
    """Make the child's private folders; buildx installed for the builder's user alone is linked in."""
    for folder in (home, home / "tmp", home / "docker", home / "empty"):
        folder.mkdir(mode=0o700, exist_ok=True)
    docker_config = inherited.get("DOCKER_CONFIG") or str(Path(inherited.get("HOME", "/")) / ".docker")
    plugins = Path(docker_config) / "cli-plugins"
    if plugins.is_dir():
        (home / "docker" / "cli-plugins").symlink_to(plugins)


def run(
    spec: BuildSpec,
    *,
    home: Path,
    inherited: Mapping[str, str],
    write: Callable[[str], None],
    stop: StopSignal,
    total_limit: float,
    idle_limit: float,
) -> None:
    """Build the image, or raise: UserError, InfrastructureError (both with the line that explains it), Stopped."""
    tail: deque[str] = deque(maxlen=_TAIL)

    def on_line(line: str) -> None:
        text = parse_line(line).text
        tail.extend(text.splitlines())
        write(text)

    prepare_home(home, inherited)
    returncode = child_process.run(
        command(spec),
        env=environment(spec, home, inherited),
        cwd=home / "empty",
        on_line=on_line,
        stop=stop,
        total_limit=total_limit,
        idle_limit=idle_limit,
    )
    if returncode != 0:
        raise _error(list(tail), returncode)


def _error(tail: list[str], returncode: int) -> BuildError:
    found = diagnose(tail, returncode)
    if not found.is_user_error:
        return InfrastructureError(found.cause, found.message)
    reason = Reason.MEMORY_LIMIT if found.cause == "out_of_memory" else Reason.USER_ERROR
    return UserError(found.cause, found.message, reason=reason)
