"""Run git in a checkout: its output goes to the build's log, and all commands share one timeout."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.child_process import StopSignal, run

# Progress lines count as output, but are not shown.
_PROGRESS = re.compile(r"\s{0,9}(?:remote: )?[A-Z][\w ]{1,60}:\s{1,9}\d+% \(\d+/\d+\)(?!.*done)")


class GitFailed(Exception):
    """A git command failed; `output` is the end of what it printed."""

    def __init__(self, output: str) -> None:
        super().__init__(output)
        self.output = output


@dataclass(frozen=True)
class Git:
    """Runs git in `folder`; `started` is when its first command started, by time.monotonic."""

    folder: Path
    stop: StopSignal
    write: Callable[[str], None]
    started: float
    timeout: float
    idle_timeout: float

    def __call__(self, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        """Run one command. Raises GitFailed, UserError (a timeout) or Stopped."""
        output: list[str] = []

        def on_line(line: str) -> None:
            if not _PROGRESS.match(line):
                output.append(line)
                self.write(line)

        code = run(
            ["git", *arguments],
            env=env,
            cwd=self.folder,
            on_line=on_line,
            stop=self.stop,
            timeout=self.timeout,
            idle_timeout=self.idle_timeout,
            spent=time.monotonic() - self.started,
        )
        if code != 0:
            raise GitFailed("\n".join(output[-50:]).replace(f"{self.folder}/", ""))
