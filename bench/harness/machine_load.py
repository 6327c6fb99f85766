"""What the results depend on besides the code: the load of the machine, and its disk."""

import os
import statistics
import time
from pathlib import Path

_WRITES = 50


def describe_machine(folder: Path) -> str:
    """Return cores, load and the latency of the disk as one line."""
    return (
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, fdatasync {measure_fdatasync(folder):.2f} ms"
    )


def measure_fdatasync(folder: Path) -> float:
    """Return the median time, in milliseconds, that the disk of `folder` takes to store 4 kB durably."""
    times = []
    path = folder / "probe"
    with path.open("wb", buffering=0) as file:
        for _ in range(_WRITES):
            file.write(b"x" * 4096)
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    path.unlink()
    return statistics.median(times) * 1000
