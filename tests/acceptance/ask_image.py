"""Running an image as a hub would, and asking it for what its repository promised."""

import subprocess


def ask(image: str, *command: str) -> str:
    """Return what a command prints in a container of the image, through the image's own entrypoint."""
    # Attached by the docker CLI: a container's followed log can lack its last lines on a busy engine.
    done = subprocess.run(
        ["docker", "run", "--rm", image, *command],
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout.strip()


def python(code: str) -> tuple[str, ...]:
    """Return the command that runs a line of Python."""
    return ("python3", "-c", code)
