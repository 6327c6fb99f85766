"""Running git in a checkout: its lines go to the build's log, all commands together stay within one limit."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.child_process import StopSignal, run

#: git's progress: counted while it runs, but not shown line by line.
_PROGRESS = re.compile(r"\s{0,9}(?:remote: )?[A-Z][\w ]{1,60}:\s{1,9}\d+% \(\d+/\d+\)(?!.*done)")


class GitFailed(Exception):
    """A git command that ended with an error, and what it said."""

    def __init__(self, output: str) -> None:
        super().__init__(output)
        self.output = output


@dataclass(frozen=True)
class Git:
    """Runs git in the folder; `started` is when its first command was, by time.monotonic."""

    folder: Path
    stop: StopSignal
    on_line: Callable[[str], None]
    started: float
    total_limit: float
    idle_limit: float

    def __call__(self, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        """Run one command. Raises GitFailed, UserError (a limit) or Stopped."""
        output: list[str] = []

        def hear(line: str) -> None:
            if not _PROGRESS.match(line):
                output.append(line)
                self.on_line(line)

        code = run(
            ["git", *arguments],
            env=env,
            cwd=self.folder,
            on_line=hear,
            stop=self.stop,
            total_limit=self.total_limit,
            idle_limit=self.idle_limit,
            spent=time.monotonic() - self.started,
        )
        if code != 0:
            raise GitFailed("\n".join(output[-50:]).replace(f"{self.folder}/", ""))
