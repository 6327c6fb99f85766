"""`python -m bench [NAME...]`: run the named benchmarks, or all of them."""

import argparse
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import structlog

from bench.harness import machine_load
from bench.measurements import (
    badge,
    binder_api,
    build,
    burst,
    launch,
    lookup,
    overhead,
    pages,
    viewers,
    webhook,
)

BENCHMARKS: dict[str, Callable[[Path], None]] = {
    "lookup": lookup.run,
    "badge": badge.run,
    "webhook": webhook.run,
    "burst": burst.run,
    "pages": pages.run,
    "build": build.run,
    "overhead": overhead.run,
    "binder_api": binder_api.run,
    "viewers": viewers.run,
    "launch": launch.run,
}


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; default: all"
    )
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"unknown benchmark: {', '.join(sorted(unknown))}")
    # Not in /tmp, which may be in memory: the benchmarks wait for the disk.
    root = Path(os.environ.get("TMPDIR", "/var/tmp"))
    for name in names:
        with tempfile.TemporaryDirectory(prefix=f"repo2hub-bench-{name}-", dir=root) as folder:
            Path(folder).chmod(0o755)  # PostgreSQL runs as another user
            print(f"\n{name}\n  machine      {machine_load.describe_machine(Path(folder))}", flush=True)
            BENCHMARKS[name](Path(folder))
            print(f"  machine      {machine_load.describe_machine(Path(folder))}", flush=True)


if __name__ == "__main__":
    main()
