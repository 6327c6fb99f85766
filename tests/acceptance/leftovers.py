"""What a build may not leave behind, however it ended: processes, files, images under a working name."""

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


def nothing_is_left(
    service: Service, word: str, engine: docker.DockerClient | None = None, data_dir: Path | None = None
) -> None:
    """No process with `word` in its command line, no file of a build, no image under one of its working names.

    `data_dir` is the builder's, where that is not the service's.
    """
    folder = data_dir or service.data_dir
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        left = [command for command in running_commands() if word in command]
        files = list((folder / "work").glob("builder-*/build-*"))
        names = working_names(engine or docker.from_env(), tag_prefix(builder_secret(folder)))
        if not left and not files and not names:
            break
        time.sleep(0.2)
    assert left == []
    assert files == []
    assert names == []


def working_names(client: docker.DockerClient, prefix: str) -> list[str]:
    """Return the names of images that are not done; other tests build on the same engine at the same time."""
    tags = [tag for image in client.api.images() for tag in image["RepoTags"] or []]
    client.close()
    return [tag for tag in tags if tag.startswith(prefix)]
