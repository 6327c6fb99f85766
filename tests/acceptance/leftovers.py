"""What a build may not leave behind, however it ended: processes, files, images with a temporary tag."""

import time
from pathlib import Path

import docker

from builder.engine.temporary_tags import tag_prefix
from builder.workspace import builder_secret
from tests.support.service import Service


def running_commands() -> list[str]:
    """Return the command line of every process of the machine."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def files_of_builds(data_dir: Path) -> list[Path]:
    """Return the folders of builds that a builder's data folder holds."""
    return list((data_dir / "work").glob("builder-*/build-*"))


def nothing_is_left(
    service: Service, word: str, engine: docker.DockerClient | None = None, data_dir: Path | None = None
) -> None:
    """Fail if a build left a process with `word` in its command line, a file, or an image with a temporary tag.

    `data_dir` is the builder's, where that is not the service's.
    """
    folder = data_dir or service.data_dir
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        left = [command for command in running_commands() if word in command]
        files = files_of_builds(folder)
        names = temporary_tags(engine or docker.from_env(), tag_prefix(builder_secret(folder)))
        if not left and not files and not names:
            break
        time.sleep(0.2)
    assert left == []
    assert files == []
    assert names == []


def temporary_tags(client: docker.DockerClient, prefix: str) -> list[str]:
    """Return the temporary tags of one builder; other tests build on the same engine at the same time."""
    tags = [tag for image in client.api.images() for tag in image["RepoTags"] or []]
    client.close()
    return [tag for tag in tags if tag.startswith(prefix)]
