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

from repo2hub import jupyterlab
from repo2hub.ask import print_log
from repo2hub.client import Service, ServiceError, why
from repo2hub.failures import CommandFailed
from repo2hub.stage import IMAGES, Interrupted, Stage, set_up
from repo2hub.terminal import Terminal, Tone

EXAMPLE = Path(__file__).parent.parent / "examples" / "hello-python"
NOTEBOOK = "sunflower.ipynb"
REPOSITORY = "example/hello-python"
_INTERRUPTED = 130


@click.command()
def demo() -> None:
    """See it work: from a signed push to a running JupyterLab.

    Stays up on a terminal until Ctrl-C, elsewhere it cleans up and ends. Run by `make run`, which sees to a
    container engine and a base image first.
    """
    terminal = Terminal()
    try:
        _play(terminal)
    except Interrupted:
        terminal.note("interrupted; everything is stopped")
        sys.exit(_INTERRUPTED)
    except requests.RequestException as exc:
        raise CommandFailed(f"the demo failed: no answer: {why(exc)}") from exc
    except (ServiceError, OSError, RuntimeError) as exc:
        raise CommandFailed(f"the demo failed: {exc}") from exc


def _play(terminal: Terminal) -> None:
    files = {path.name: path.read_bytes() for path in EXAMPLE.glob("*") if path.is_file()}
    if NOTEBOOK not in files:
        raise CommandFailed("the demo needs the source of repo2hub, with its examples; run there: make run")
    diary = Diary(terminal)
    with ExitStack() as stack:
        with diary.step("start", "GitHub's stand-in, web and builder"):
            jupyterlab.forget_images(IMAGES)
            stage = stack.enter_context(set_up(REPOSITORY))
        service = Service(stage.address)
        first = _push_and_build(stage, service, diary, files)
        _run(first, stage, diary)
        more = {NOTEBOOK: files[NOTEBOOK].replace(b"seeds = 200", b"seeds = 500")}
        second = _push_and_build(stage, service, diary, more)
        with diary.step("compare", "") as step:
            old, new = jupyterlab.layers(first), jupyterlab.layers(second)
            step.what = f"{len(set(old) & set(new))} of {len(new)} layers are the first image's"
        diary.print()
        _stay_up(stage, terminal)
        terminal.note("stopping")


@dataclass
class Step:
    """One line of the table; what it did may be known only at its end."""

    name: str
    what: str
    seconds: float = 0.0


@dataclass
class Diary:
    """What was done and how long each step took, told as it happens and in a table at the end."""

    terminal: Terminal
    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[Step]:
        """Time a step; one that fails is not in the table."""
        step = Step(name, what)
        self.terminal.say(f"== {name}: {what}" if what else f"== {name}", "bold")
        began = time.monotonic()
        yield step
        step.seconds = time.monotonic() - began
        if step.what != what:
            self.terminal.say(step.what)
        self.steps.append(step)

    def print(self) -> None:
        """Print the table."""
        rows: list[list[tuple[object, Tone]]] = [
            [(step.name, "bold"), (step.what, "plain"), (f"{step.seconds:.2f}", "good")]
            for step in self.steps
        ]
        self.terminal.say("")
        self.terminal.table(("STEP", "WHAT", "SECONDS"), rows)
        self.terminal.say("")


def _push_and_build(stage: Stage, service: Service, diary: Diary, files: Mapping[str, bytes]) -> str:
    """Push, show the build's log live, look the image up, and return its name."""
    what = "the whole repository" if len(files) > 1 else f"{NOTEBOOK} alone"
    with diary.step("push", f"a signed delivery: {what}"):
        answer = stage.push(files, f"Push {what}")
    build_id, commit = int(answer["build"]), answer["commit"]
    with diary.step("build", f"commit {commit[:7]}, until its image is there"):
        print_log(service, diary.terminal, build_id)
        ended = service.build(build_id)
        if ended["status"] != "succeeded":
            raise CommandFailed(f"the build {ended['status']}: {ended.get('message')}")
    with diary.step("lookup", "") as step:
        found = service.lookup(REPOSITORY, "main")
        if found.get("commit") != commit or "image" not in found:
            raise CommandFailed(f"the lookup does not find the image: {found.get('message')}")
        name, _, tag = found["image"].rpartition("/")[2].partition(":")
        step.what = f"main is {name}:{tag[:7]}..."
        diary.terminal.say(found["image"])
    return str(found["image"])


def _run(image: str, stage: Stage, diary: Diary) -> None:
    """Start the image once and ask the JupyterLab in it for what the repository promised."""
    with diary.step("run", "") as step, ExitStack() as stack:
        with stage.interruptions.held():
            lab = stack.enter_context(jupyterlab.JupyterLab(image))
        lab.wait()
        version = lab.ask("api")["version"]
        names = sorted(item["name"] for item in lab.ask("api/contents/")["content"])
        if NOTEBOOK not in names:
            raise CommandFailed(f"{NOTEBOOK} is not in the image, only {', '.join(names)}")
        step.what = f"JupyterLab answers in the image (server {version}); it has {NOTEBOOK}"


def _stay_up(stage: Stage, terminal: Terminal) -> None:
    terminal.say(f"The service is at {stage.address}", "good")
    if sys.stdin.isatty() and sys.stdout.isatty():
        terminal.say(f"Ask it: {sys.argv[0]} builds --server {stage.address}")
        terminal.say("It stays up until Ctrl-C.")
        with suppress(Interrupted):
            while True:
                signal.pause()
