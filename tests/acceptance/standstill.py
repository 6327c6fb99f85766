"""A step of a build that goes on when a test says so: what happens meanwhile is no race against a `sleep`."""

import random
from dataclasses import dataclass, field

import docker

_WAKE = """
for again in $(seq 300); do
    found=$(grep -lzxs '{pattern}' /proc/[0-9]*/cmdline | head -n 1)
    if [ -n "$found" ]; then found=${{found#/proc/}}; kill "${{found%/cmdline}}"; exit; fi
    sleep 0.1
done
echo 'no step stands still' >&2
exit 1
"""


@dataclass
class Standstill:
    """Put `step` into a Dockerfile's RUN; its process is found by a number that is its own, whoever started it."""

    engine: docker.DockerClient
    image: str
    """Any image with a shell, to end the process from: the test's user may be another than the step's."""
    number: int = field(default_factory=lambda: random.randint(10**7, 10**8))

    @property
    def process(self) -> str:
        """The command line of the step while it stands still."""
        return f"sleep {self.number}"

    @property
    def step(self) -> str:
        """Shell commands that say `it-stands-still`, which the command's own text in a log does not, and do so."""
        return f"echo it-stands-''still && {{ {self.process} || true; }}"

    def go_on(self) -> None:
        """End the standstill; wait for it for 30 seconds if it has not begun.

        Raises docker.errors.ContainerError if it does not begin.
        """
        digits = str(self.number)
        pattern = f"[{digits[0]}]{digits[1:]}"  # which is not its own text
        command = ["sh", "-c", _WAKE.format(pattern=pattern)]
        self.engine.containers.run(self.image, command, entrypoint=[], user="0", pid_mode="host", remove=True)
