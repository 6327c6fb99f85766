"""`python -m demo`: from a signed push to a response from JupyterLab, with the time that each step takes.

The service is the real one: `repo2hub web` and `repo2hub builder` as processes, signed deliveries, repo2docker
and the container engine. Only GitHub is a stand-in: git's own server on loopback.
"""

import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import requests

from demo.example import NOTEBOOK, REPOSITORY, change_notebook, read_files
from demo.interruptions import Interrupted
from demo.jupyterlab import JupyterLabContainer
from demo.local_images import image_layers, remove_images_with_prefix
from demo.services import DEMO_IMAGE_PREFIX, DemoServices, start_services
from repo2hub.client.follow import print_log
from repo2hub.client.service import ServiceClient, ServiceError, root_cause
from repo2hub.exit_codes import ExitCode
from repo2hub.output.errors import CommandFailed
from repo2hub.output.terminal import Terminal, Tone


def run() -> None:
    """Run the demo once; on a terminal keep the service running until Ctrl-C. Raises CommandFailed."""
    terminal = Terminal()
    try:
        _run_steps(terminal)
    except Interrupted:
        terminal.note("Interrupted. Everything is stopped.")
        sys.exit(ExitCode.INTERRUPTED)
    except requests.RequestException as exc:
        raise CommandFailed(f"The demo failed: no response: {root_cause(exc)}") from exc
    except (ServiceError, OSError, RuntimeError) as exc:
        raise CommandFailed(f"The demo failed: {exc}") from exc


def _run_steps(terminal: Terminal) -> None:
    files = read_files()
    timer = StepTimer(terminal)
    with ExitStack() as stack:
        with timer.step("start", "git server, web process and builder"):
            remove_images_with_prefix(DEMO_IMAGE_PREFIX)
            services = stack.enter_context(start_services(REPOSITORY))
        service = ServiceClient(services.address)
        first = _push_and_build(services, service, timer, files)
        _start_image(first, services, timer)
        second = _push_and_build(services, service, timer, change_notebook(files))
        with timer.step("compare", "") as step:
            old, new = image_layers(first), image_layers(second)
            step.description = f"{len(set(old) & set(new))} of {len(new)} layers are those of the first image"
        timer.print()
        _wait_for_interrupt(services, terminal)
        terminal.note("Stopping.")


@dataclass
class Step:
    """One row of the table. The description may be set at the end of the step."""

    name: str
    description: str
    seconds: float = 0.0


@dataclass
class StepTimer:
    """The steps of the demo and their durations, printed while they run and as a table at the end."""

    terminal: Terminal
    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str, description: str) -> Iterator[Step]:
        """Time a step; a step that fails is not added to the table."""
        step = Step(name, description)
        self.terminal.echo(f"== {name}: {description}" if description else f"== {name}", "bold")
        started = time.monotonic()
        yield step
        step.seconds = time.monotonic() - started
        if step.description != description:
            self.terminal.echo(step.description)
        self.steps.append(step)

    def print(self) -> None:
        """Print the table."""
        rows: list[list[tuple[object, Tone]]] = [
            [(step.name, "bold"), (step.description, "plain"), (f"{step.seconds:.2f}", "good")]
            for step in self.steps
        ]
        self.terminal.echo("")
        self.terminal.table(("STEP", "DESCRIPTION", "SECONDS"), rows)
        self.terminal.echo("")


def _push_and_build(
    services: DemoServices, service: ServiceClient, timer: StepTimer, files: Mapping[str, bytes]
) -> str:
    """Push, follow the build log, look up the image, and return its name."""
    description = "the whole repository" if len(files) > 1 else f"only {NOTEBOOK}"
    with timer.step("push", f"a signed delivery: {description}"):
        answer = services.push(files, f"Push {description}")
    build_id, commit = int(answer["build"]), answer["commit"]
    with timer.step("build", f"the image of commit {commit[:7]}"):
        print_log(service, timer.terminal, build_id)
        ended = service.build(build_id)
        if ended["status"] != "succeeded":
            raise CommandFailed(f"The build {ended['status']}: {ended.get('message')}")
    with timer.step("lookup", "") as step:
        found = service.lookup(REPOSITORY, "main")
        if found.get("commit") != commit or "image" not in found:
            raise CommandFailed(f"The lookup does not find the image: {found.get('message')}")
        name, _, tag = found["image"].rpartition("/")[2].partition(":")
        step.description = f"main is {name}:{tag[:7]}..."
        timer.terminal.echo(found["image"])
    return str(found["image"])


def _start_image(image: str, services: DemoServices, timer: StepTimer) -> None:
    """Start the image once and check that JupyterLab answers and has the repository's notebook."""
    with timer.step("run", "") as step, ExitStack() as stack:
        with services.interruptions.deferred():
            lab = stack.enter_context(JupyterLabContainer(image))
        lab.wait()
        version = lab.get_json("api")["version"]
        names = sorted(item["name"] for item in lab.get_json("api/contents/")["content"])
        if NOTEBOOK not in names:
            raise CommandFailed(f"{NOTEBOOK} is not in the image, only {', '.join(names)}")
        step.description = f"JupyterLab answers in the image (server {version}) and has {NOTEBOOK}"


def _wait_for_interrupt(services: DemoServices, terminal: Terminal) -> None:
    terminal.echo(f"The service is running at {services.address}", "good")
    if sys.stdin.isatty() and sys.stdout.isatty():
        repo2hub = Path(sys.executable).with_name("repo2hub")
        terminal.echo(f"List its builds: {repo2hub} builds --server {services.address}")
        terminal.echo("Press Ctrl-C to stop it.")
        with suppress(Interrupted):
            while True:
                signal.pause()
