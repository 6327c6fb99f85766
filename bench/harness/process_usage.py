"""Memory and processor time of a process and its descendants, from /proc."""

import os
from pathlib import Path


def process_tree(pid: int) -> list[int]:
    """Return the ids of a process and its descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def resident_memory(pid: int) -> int:
    """Return the resident memory of a process tree in bytes."""
    return sum(int(_status(one, "VmRSS").split()[0]) * 1024 for one in process_tree(pid))


def cpu_seconds(pid: int) -> float:
    """Return the seconds of processor time that a process tree has used."""
    ticks = 0
    for one in process_tree(pid):
        after_name = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(after_name[11]) + int(after_name[12])  # utime and stime: proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")


def _status(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2] for line in lines if line.startswith(f"{name}:"))
