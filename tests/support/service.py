"""repo2hub as users run it: processes of the command line, signed deliveries, the API over HTTP."""

import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from demo.github.delivery import deliver, push_payload
from tests.support.registry import free_port

SECRET = "a secret for deliveries"
LIMIT = 300  # seconds for one build of a test


@dataclass
class Service:
    """A web process and a builder process on one data folder."""

    data_dir: Path
    github_url: str
    base_image: str
    settings: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    """The API token of `get`, `post` and `log`."""

    def __post_init__(self) -> None:
        self.port = free_port()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.settings.get('BASE_URL', '/').rstrip('/')}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def environment(self) -> dict[str, str]:
        ours = {
            "DATA_DIR": str(self.data_dir),
            "GITHUB_URL": self.github_url,
            "BASE_IMAGE": self.base_image,
            "BUILDPACKS": "uv,standard",
            "WEBHOOK_SECRETS": SECRET,
            "PORT": str(self.port),
            **self.settings,
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("REPO2HUB_")}
        return kept | self.environ | {f"REPO2HUB_{name}": value for name, value in ours.items()}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "repo2hub", *arguments]

    def run(self, *arguments: str, timeout: float = LIMIT) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end and return what it printed."""
        environment = {**self.environment, "REPO2HUB_SERVER": self.url}
        return subprocess.run(
            self.command(*arguments),
            check=False,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def start(self, role: str, *options: str, name: str = "") -> "subprocess.Popen[bytes]":
        """Start `web` or `builder`; its output goes to a file beside the data."""
        argv = self.command(role, *options)
        with self.log_path(name or role).open("ab") as log:
            process = subprocess.Popen(
                argv, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._processes[name or role] = process
        return process

    def start_beside(self, role: str) -> "tuple[subprocess.Popen[bytes], int]":
        """Start another web process, of that role, and return it and its port when it answers."""
        port = free_port()
        process = self.start("web", "--role", role, "--port", str(port), name=role)
        base = self.settings.get("BASE_URL", "/").rstrip("/")
        self.wait_until_up(f"http://127.0.0.1:{port}{base}", role)
        return process, port

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def start_all(self) -> None:
        migrated = self.run("db", "upgrade")
        assert migrated.returncode == 0, migrated.stderr
        self.start("web")
        self.start("builder")
        self.wait_until_up()

    @property
    def base(self) -> str:
        """The address below which all paths lie."""
        return self.url

    def wait_until_up(self, base: str = "", name: str = "web") -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if requests.get(f"{base or self.base}/health", timeout=5).status_code == 200:
                    return
            except (requests.ConnectionError, requests.Timeout):
                time.sleep(0.1)
        raise AssertionError(self.log_path(name).read_text())

    def stop(self, role: str, how: signal.Signals = signal.SIGTERM) -> int:
        process = self._processes.pop(role)
        process.send_signal(how)
        return process.wait(timeout=90)

    def stop_all(self) -> None:
        for role in list(self._processes):
            self.stop(role)

    def log_path(self, role: str) -> Path:
        return self.data_dir / f"{role}.log"

    def dockerfile(self, command: str) -> dict[str, str]:
        """Return a Dockerfile with one step that the engine never has in its cache."""
        return {"Dockerfile": f"FROM {self.base_image}\nRUN : {uuid.uuid4()} && {command}\n"}

    def push(
        self, repository: str, commit: str, ref: str = "refs/heads/main", **changes: Any
    ) -> dict[str, Any]:
        """Send a signed push delivery, as GitHub does, and return the answer."""
        payload = push_payload(repository, commit=commit, ref=ref, **changes)
        answer = deliver(f"{self.url}/webhook/github", "push", payload, secret=SECRET)
        assert answer.status_code in (200, 202), answer.text
        result: dict[str, Any] = answer.json()
        return result

    def get(self, path: str) -> Any:
        return requests.get(f"{self.url}/api/v1/{path}", headers=self.headers, timeout=30).json()

    def post(self, path: str, body: dict[str, Any] | None = None) -> "requests.Response":
        return requests.post(f"{self.url}/api/v1/{path}", json=body or {}, headers=self.headers, timeout=30)

    def request_build(self, repository: str, ref: str = "HEAD", **more: Any) -> int:
        """Request a build, as a script does, and return its id."""
        answer = self.post("builds", {"repository": repository, "ref": ref, **more})
        assert answer.status_code == 202, answer.text
        build_id: int = answer.json()["build"]["id"]
        return build_id

    def log(self, build_id: int) -> str:
        return requests.get(f"{self.url}/api/v1/builds/{build_id}/log", headers=self.headers, timeout=30).text

    def wait_for(self, build_id: int, *statuses: str, phase: str | None = None) -> dict[str, Any]:
        """Wait until a build has one of the statuses (or a phase), and return it."""
        wanted = statuses or ("succeeded", "failed", "cancelled")
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            build: dict[str, Any] = self.get(f"builds/{build_id}")
            assert "status" in build, f"{build}\n{self.log_path('web').read_text()[-4000:]}"
            if (phase and build["phase"] == phase) or (not phase and build["status"] in wanted):
                return build
            assert build["status"] in ("queued", "running"), f"{build}\n{self.log(build_id)}"
            time.sleep(0.05)
        raise AssertionError(f"build {build_id} took too long: {self.log(build_id)}")

    def wait_until_requeued(self, build_id: int) -> dict[str, Any]:
        """Wait until an attempt failed and the build was queued for a retry, and return the build."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            build: dict[str, Any] = self.get(f"builds/{build_id}")
            if build["status"] == "queued" and build["attempt"]:
                return build
            assert build["status"] in ("queued", "running"), f"{build}\n{self.log(build_id)}"
            time.sleep(0.05)
        raise AssertionError(f"build {build_id} took too long: {self.log(build_id)}")

    def wait_for_log(self, build_id: int, words: str) -> None:
        """Wait until the log contains the words."""
        deadline = time.monotonic() + 120
        while words not in self.log(build_id):
            assert time.monotonic() < deadline, self.log(build_id)
            time.sleep(0.1)

    def image(self, repository: str, ref: str = "HEAD") -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"images/gh/{repository}/{ref}")
        return found
