"""A repository that links its runtime.txt to the builder's environment: the leak, and that it is closed.

repo2docker reads its configuration files on the builder, links followed.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from builder.child_process import StopSignal
from builder.errors import UserError
from builder.source.checkout import fetch
from builder.source.git_access import GitAccess
from builder.source.validation import validate_checkout
from demo.github.git_server import GitServer

# Two dashes: three parts are no runtime.txt, so repo2docker quotes the whole file in its error.
CANARY = "canary-7f3a-9c"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A checkout, really fetched, whose runtime.txt leads to /proc/self/environ."""
    folder, home = tmp_path / "source", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    with GitServer(tmp_path / "srv") as github:
        links = {"runtime.txt": "/proc/self/environ"}
        repository = github.create("evil/repo")
        commit = repository.commit({"requirements.txt": "numpy\n"}, links=links)
        access = GitAccess(github.url, None, home, None, os.environ)
        stop, lines = StopSignal(), list[str]()
        fetch(
            repository.url,
            commit,
            folder,
            access=access,
            stop=stop,
            write=lines.append,
            timeout=60,
            idle_timeout=60,
        )
    return folder


def repo2docker(folder: Path, config: Path) -> str:
    """Let the real repo2docker render a Dockerfile, with a secret in its environment."""
    config.write_text(
        "from repo2docker.contentproviders import Local\nc.Repo2Docker.content_providers = [Local]\n"
    )
    argv = [sys.executable, "-m", "repo2docker", "--config", str(config), "--json-logs", "--no-build"]
    argv += ["--user-id=1000", "--user-name=jovyan", "--image-name=leak", str(folder)]
    # A PATH of ours: dashes in the machine's would make other parts, and may make a date of them.
    env = {"SECRET": CANARY, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout + done.stderr


def test_repo2docker_shows_its_environment_to_a_hostile_link(hostile: Path, tmp_path: Path) -> None:
    assert CANARY in repo2docker(hostile, tmp_path / "config.py")


def test_vetting_refuses_the_link_and_names_it(hostile: Path) -> None:
    with pytest.raises(UserError) as caught:
        validate_checkout(hostile, max_bytes=10**6, max_files=100)
    assert caught.value.cause == "symlink_outside"
    assert "runtime.txt" in caught.value.message and "/proc/self/environ" in caught.value.message
