"""Load from wrk, which uses so little processor time that the server is what is measured."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = """\
local requests, sent = {}, 0
local file = io.open("%s", "rb")
for line in file:lines() do requests[#requests + 1] = file:read(tonumber(line)) end
function request()
  sent = sent + 1
  return requests[(sent - 1) %% #requests + 1]
end
"""
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Load:
    """The results of wrk; times are in milliseconds."""

    requests: int
    per_second: float
    median: float
    p99: float


def run(address: str, requests: Sequence[bytes], folder: Path, *, connections: int, seconds: int) -> Load:
    """Send `requests`, complete as bytes, repeatedly. Raises RuntimeError unless every response is 2xx."""
    prepared, script = folder / "requests", folder / "wrk.lua"
    with prepared.open("wb") as file:
        for request in requests:
            file.write(b"%d\n%s" % (len(request), request))
    script.write_text(_SCRIPT % prepared)
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency"]
    output = subprocess.run(
        [*argv, "-s", str(script), address], capture_output=True, text=True, check=True, timeout=seconds + 60
    ).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"wrk: {output}")
    return Load(
        requests=int(_match(r"(\d+) requests in", output)),
        per_second=float(_match(r"Requests/sec:\s+([\d.]+)", output)),
        median=_time(_match(r"\n +50%\s+(\S+)", output)),
        p99=_time(_match(r"\n +99%\s+(\S+)", output)),
    )


def _match(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"unexpected output of wrk: {text}")
    return found[1]


def _time(text: str) -> float:
    number, unit = _match(r"([\d.]+)", text), _match(r"([a-z]+)", text)
    return float(number) * _MILLISECONDS[unit]
