"""A `git` that answers when a test says so: what happens meanwhile is no race against its time limit."""

import os
from dataclasses import dataclass
from pathlib import Path

_GIT = """#!/bin/sh
: > '{folder}'/asked.$$
while [ ! -e '{folder}'/answer ]; do sleep 0.05; done
"""


@dataclass
class SlowGit:
    """Stands in `folder`, to be found by `path`. Its answer is that there is no ref."""

    folder: Path

    def __post_init__(self) -> None:
        program = self.folder / "git"
        program.write_text(_GIT.format(folder=self.folder))
        program.chmod(0o755)

    @property
    def path(self) -> str:
        """The search path of whoever is to run it."""
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    @property
    def asked(self) -> int:
        """How often it was run."""
        return len(list(self.folder.glob("asked.*")))

    def answer(self) -> None:
        """Let all of them go on."""
        (self.folder / "answer").touch()
