"""Images of the local container engine, by the docker command line."""

import json
import os
import subprocess
from contextlib import suppress

from repo2hub.output.error_text import last_line
from repo2hub.output.errors import CommandFailed

COMMAND_TIMEOUT = 60
"""Seconds that a docker command may take."""


def docker(*arguments: str, **environ: str) -> str:
    """Run a docker command and return its output. Raises CommandFailed."""
    try:
        done = subprocess.run(
            ["docker", *arguments],
            env=os.environ | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_TIMEOUT,
            check=True,
            process_group=0,  # so that Ctrl-C does not reach it
        )
    except subprocess.CalledProcessError as exc:
        raise CommandFailed(f"docker {arguments[0]} failed: {last_line(exc.stderr)}") from exc
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CommandFailed(f"docker {arguments[0]} failed: {exc}") from exc
    return done.stdout.strip()


def image_layers(image: str) -> list[str]:
    """Return the layers of an image, lowest first."""
    layers: list[str] = json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image))
    return layers


def remove_images_with_prefix(prefix: str) -> None:
    """Remove the images whose names begin with `prefix`; the engine keeps its build cache."""
    names = docker("images", "--filter", f"reference={prefix}*/*", "--format", "{{.Repository}}:{{.Tag}}")
    for name in names.splitlines():
        with suppress(CommandFailed):  # a container may still use it
            docker("image", "rm", name)
