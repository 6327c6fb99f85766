"""Running the command line: in this process, as a process, and with a web process that can be restarted."""

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import requests
from click.testing import CliRunner

from repo2hub.cli import main
from tests.support.registry import free_port
from tests.support.waiting import wait_until

REPO2HUB = str(Path(sys.executable).with_name("repo2hub"))


def run(*words: str, **environ: str) -> tuple[int, str, str]:
    """Run a command in this process: exit code, stdout, stderr."""
    result = CliRunner().invoke(main, words, env=environ)
    return result.exit_code, result.stdout, result.stderr


def clean_environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REPO2HUB_")}
    return kept | {f"REPO2HUB_{name}": value for name, value in settings.items()}


def is_up(url: str) -> bool:
    with suppress(requests.RequestException):
        return requests.get(f"{url}/health", timeout=5).ok
    return False


@dataclass
class Web:
    """A web process that can be stopped and started again at the same address."""

    settings: dict[str, str]
    base: str = ""
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.base}"

    def start(self) -> None:
        environment = clean_environment(**self.settings)
        self.process = subprocess.Popen([REPO2HUB, "web", "--port", str(self.port)], env=environment)
        wait_until(lambda: is_up(self.url))

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(timeout=60) == 0

    def popen(self, *words: str, **settings: str) -> "subprocess.Popen[str]":
        environment = clean_environment(**{"SERVER": self.url} | settings)
        pipe = subprocess.PIPE
        return subprocess.Popen([REPO2HUB, *words], env=environment, stdout=pipe, stderr=pipe, text=True)

    def run(self, *words: str, **settings: str) -> tuple[int, str, str]:
        """Run a command: exit code, stdout, stderr."""
        process = self.popen(*words, **settings)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err
