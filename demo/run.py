"""`repo2hub demo`: all of it once, on this machine: from a signed push to an answer from JupyterLab.

The service is the real one: `repo2hub web` and `repo2hub builder` as processes, a delivery that is really
signed, repo2docker, the container engine. Only GitHub is stood in for, by git's own server on loopback.
"""

import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import click
import requests

from demo import jupyterlab
from demo.services import DEMO_IMAGE_PREFIX, DemoServices, Interrupted, start_services
from repo2hub.client.service import ServiceClient, ServiceError, root_cause
from repo2hub.commands.builds import print_log
from repo2hub.output.errors import CommandFailed
from repo2hub.output.terminal import Terminal, Tone

EXAMPLE = Path(__file__).parent.parent / "examples" / "hello-python"
NOTEBOOK = "sunflower.ipynb"
REPOSITORY = "example/hello-python"
_INTERRUPTED_EXIT_CODE = 130


@click.command()
def demo() -> None:
    """See it work: from a signed push to a running JupyterLab.

    Stays up on a terminal until Ctrl-C, elsewhere it cleans up and ends. Run by `make run`, which sees to a
    container engine and a base image first.
    """
    terminal = Terminal()
    try:
        _run_demo(terminal)
    except Interrupted:
        terminal.note("interrupted; everything is stopped")
        sys.exit(_INTERRUPTED_EXIT_CODE)
    except requests.RequestException as exc:
        raise CommandFailed(f"the demo failed: no answer: {root_cause(exc)}") from exc
    except (ServiceError, OSError, RuntimeError) as exc:
        raise CommandFailed(f"the demo failed: {exc}") from exc


def _run_demo(terminal: Terminal) -> None:
    files = {path.name: path.read_bytes() for path in EXAMPLE.glob("*") if path.is_file()}
    if NOTEBOOK not in files:
        raise CommandFailed("the demo needs the source of repo2hub, with its examples; run there: make run")
    timer = StepTimer(terminal)
    with ExitStack() as stack:
        with timer.step("start", "GitHub's stand-in, web and builder"):
            jupyterlab.remove_images_with_prefix(DEMO_IMAGE_PREFIX)
            services = stack.enter_context(start_services(REPOSITORY))
        service = ServiceClient(services.address)
        first = _push_and_build(services, service, timer, files)
        _start_image(first, services, timer)
        more = {NOTEBOOK: files[NOTEBOOK].replace(b"seeds = 200", b"seeds = 500")}
        second = _push_and_build(services, service, timer, more)
        with timer.step("compare", "") as step:
            old, new = jupyterlab.image_layers(first), jupyterlab.image_layers(second)
            step.description = f"{len(set(old) & set(new))} of {len(new)} layers are the first image's"
        timer.print()
        _wait_for_interrupt(services, terminal)
        terminal.note("stopping")


@dataclass
class Step:
    """One line of the table; what it did may be known only at its end."""

    name: str
    description: str
    seconds: float = 0.0


@dataclass
class StepTimer:
    """What was done and how long each step took, told as it happens and in a table at the end."""

    terminal: Terminal
    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str, description: str) -> Iterator[Step]:
        """Time a step; one that fails is not in the table."""
        step = Step(name, description)
        self.terminal.echo(f"== {name}: {description}" if description else f"== {name}", "bold")
        began = time.monotonic()
        yield step
        step.seconds = time.monotonic() - began
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
        self.terminal.table(("STEP", "WHAT", "SECONDS"), rows)
        self.terminal.echo("")


def _push_and_build(
    services: DemoServices, service: ServiceClient, timer: StepTimer, files: Mapping[str, bytes]
) -> str:
    """Push, show the build's log live, look the image up, and return its name."""
    description = "the whole repository" if len(files) > 1 else f"{NOTEBOOK} alone"
    with timer.step("push", f"a signed delivery: {description}"):
        answer = services.push(files, f"Push {description}")
    build_id, commit = int(answer["build"]), answer["commit"]
    with timer.step("build", f"commit {commit[:7]}, until its image is there"):
        print_log(service, timer.terminal, build_id)
        ended = service.build(build_id)
        if ended["status"] != "succeeded":
            raise CommandFailed(f"the build {ended['status']}: {ended.get('message')}")
    with timer.step("lookup", "") as step:
        found = service.lookup(REPOSITORY, "main")
        if found.get("commit") != commit or "image" not in found:
            raise CommandFailed(f"the lookup does not find the image: {found.get('message')}")
        name, _, tag = found["image"].rpartition("/")[2].partition(":")
        step.description = f"main is {name}:{tag[:7]}..."
        timer.terminal.echo(found["image"])
    return str(found["image"])


def _start_image(image: str, services: DemoServices, timer: StepTimer) -> None:
    """Start the image once and ask the JupyterLab in it for what the repository promised."""
    with timer.step("run", "") as step, ExitStack() as stack:
        with services.interruptions.deferred():
            lab = stack.enter_context(jupyterlab.JupyterLabContainer(image))
        lab.wait()
        version = lab.get_json("api")["version"]
        names = sorted(item["name"] for item in lab.get_json("api/contents/")["content"])
        if NOTEBOOK not in names:
            raise CommandFailed(f"{NOTEBOOK} is not in the image, only {', '.join(names)}")
        step.description = f"JupyterLab answers in the image (server {version}); it has {NOTEBOOK}"


def _wait_for_interrupt(services: DemoServices, terminal: Terminal) -> None:
    terminal.echo(f"The service is at {services.address}", "good")
    if sys.stdin.isatty() and sys.stdout.isatty():
        terminal.echo(f"Ask it: {sys.argv[0]} builds --server {services.address}")
        terminal.echo("It stays up until Ctrl-C.")
        with suppress(Interrupted):
            while True:
                signal.pause()
