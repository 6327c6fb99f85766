"""Real processes, but no network, engine or database: a child's lines, and that nothing of it is left."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.child_process import LineSplitter, StopSignal, run
from builder.errors import Stopped, StopReason, UserError
from db.status import Reason

pytestmark = pytest.mark.slow

ENV = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[str]:
    """A marker in the command line of all processes that the test starts, to find them in /proc."""
    word = f"marker-{tmp_path.name}-{id(tmp_path)}"
    yield word
    assert processes_with(word) == []


def processes_with(word: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            zombie = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if word.encode() in command and not zombie:
            found.append(command.decode())
    return found


def sh(script: str, marker: str = "sh", **options: object) -> tuple[int, list[str]]:
    lines: list[str] = []
    settings: dict[str, object] = {
        "stop": StopSignal(),
        "timeout": 60.0,
        "idle_timeout": 60.0,
        "grace": 0.3,
    }
    settings |= {"on_line": lines.append} | options
    code = run(["/bin/sh", "-c", script, marker], env=ENV, cwd=Path("/"), **settings)  # type: ignore[arg-type]
    return code, lines


def test_both_streams_come_as_lines_in_the_order_they_were_written() -> None:
    assert sh("echo one; echo two >&2; printf three") == (0, ["one", "two", "three"])


def test_the_exit_code_is_returned() -> None:
    assert sh("exit 7")[0] == 7


def test_the_signal_that_ended_the_child_is_the_negative_exit_code() -> None:
    assert sh("kill -9 $$")[0] == -signal.SIGKILL


def test_the_child_reads_nothing_from_our_standard_input() -> None:
    assert sh("cat; echo done") == (0, ["done"])


def test_the_child_gets_only_the_given_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "seen")
    assert sh("echo [$CANARY]") == (0, ["[]"])


def test_a_command_that_does_not_exist_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError):
        run(
            ["/nosuch"],
            env=ENV,
            cwd=Path("/"),
            on_line=print,
            stop=StopSignal(),
            timeout=1,
            idle_timeout=1,
        )


def test_progress_bars_end_their_lines_with_a_carriage_return() -> None:
    assert sh(r"printf '10%%\r20%%\r\nend\r'")[1] == ["10%", "20%", "end"]


def test_a_line_without_end_comes_in_pieces() -> None:
    _, lines = sh("head -c 1000000 /dev/zero | tr '\\0' x")
    assert "".join(lines) == "x" * 1_000_000
    assert max(map(len, lines)) <= 65536


def test_bytes_that_are_no_utf8_do_not_end_the_reading() -> None:
    assert sh(r"printf 'a\377b\n'")[1] == ["a\ufffdb"]


def test_everything_written_before_the_end_arrives() -> None:
    _, lines = sh("seq 1 20000")
    assert lines == [str(number) for number in range(1, 20001)]


def test_a_grandchild_that_keeps_the_pipe_open_neither_blocks_nor_survives(marker: str) -> None:
    code, lines = sh(f"(sh -c 'trap \"\" INT HUP; sleep 600; :' {marker} &) ; echo started", marker)
    assert (code, lines) == (0, ["started"])


def test_a_grandchild_that_prints_forever_does_not_block_either(marker: str) -> None:
    code, _ = sh(f"(sh -c 'while :; do echo x; sleep 0.01; done' {marker} &) ; exit 3", marker)
    assert code == 3


def test_a_child_that_closed_its_output_is_waited_for() -> None:
    assert sh("exec >&- 2>&-; sleep 0.3; exit 5") == (5, [])


def test_a_child_that_closed_its_output_still_meets_the_timeout(marker: str) -> None:
    with pytest.raises(UserError, match="stopped after"):
        sh("exec >&- 2>&-; sleep 600; :", marker, timeout=0.4)


STUBBORN = (
    "trap '' INT; (trap '' INT; sleep 600; :) & set -m; (trap '' INT TERM; sleep 600; :) & "
    "echo up; wait; sleep 600"
)


def test_a_stop_ends_a_tree_that_ignores_sigint_and_has_groups_of_its_own(marker: str) -> None:
    stop = StopSignal()
    with pytest.raises(Stopped) as stopped:
        sh(STUBBORN, marker, stop=stop, on_line=lambda _line: stop.set(StopReason.CANCELLED))
    assert stopped.value.stop_reason is StopReason.CANCELLED


def test_a_stop_from_another_thread_ends_a_silent_child(marker: str) -> None:
    stop = StopSignal()
    timer = threading.Timer(0.3, stop.set, [StopReason.LOST])
    timer.start()
    with pytest.raises(Stopped) as stopped:
        sh("sleep 600; :", marker, stop=stop)
    timer.join()
    assert stopped.value.stop_reason is StopReason.LOST


def test_a_child_that_heeds_sigint_may_clean_up(tmp_path: Path, marker: str) -> None:
    stop = StopSignal()
    script = f"trap 'touch \"{tmp_path}\"/cleaned; exit 1' INT; echo up; while :; do sleep 0.05; done"
    with pytest.raises(Stopped):
        sh(script, marker, stop=stop, grace=20.0, on_line=lambda _line: stop.set(StopReason.RELEASED))
    assert (tmp_path / "cleaned").exists()


def test_nothing_is_started_once_the_stop_is_set(tmp_path: Path) -> None:
    stop = StopSignal()
    stop.set(StopReason.CANCELLED)
    with pytest.raises(Stopped):
        sh(f"touch {tmp_path}/started", stop=stop)
    assert not (tmp_path / "started").exists()


def test_the_timeout_ends_a_child_that_keeps_talking(marker: str) -> None:
    with pytest.raises(UserError) as caught:
        sh("while :; do echo x; sleep 0.02; done", marker, timeout=0.5)
    assert (caught.value.cause, caught.value.reason) == ("time_limit", Reason.TIME_LIMIT)
    assert "0.5 s" in caught.value.message and "REPO2HUB_BUILD_TIMEOUT" in caught.value.message


def test_the_idle_timeout_ends_a_silent_child(marker: str) -> None:
    with pytest.raises(UserError) as caught:
        sh("echo x; sleep 600; :", marker, idle_timeout=0.4)
    assert (caught.value.cause, caught.value.reason) == ("idle_limit", Reason.TIME_LIMIT)
    assert "0.4 s" in caught.value.message and "REPO2HUB_BUILD_IDLE_TIMEOUT" in caught.value.message


def test_an_exception_of_the_line_handler_leaves_nothing_behind(marker: str) -> None:
    def refuse(_line: str) -> None:
        raise ValueError("the database is gone")

    with pytest.raises(ValueError, match="gone"):
        sh(STUBBORN, marker, on_line=refuse)


def test_the_first_reason_to_stop_stays() -> None:
    stop = StopSignal()
    stop.raise_if_set()
    assert (stop.is_set(), stop.stop_reason) == (False, None)
    stop.set(StopReason.LOST)
    stop.set(StopReason.CANCELLED)
    assert (stop.is_set(), stop.stop_reason) == (True, StopReason.LOST)
    with pytest.raises(Stopped):
        stop.raise_if_set()


@given(
    st.lists(st.text(alphabet="aé€😀 ", max_size=12)),
    st.sampled_from(["\n", "\r", "\r\n"]),
    st.lists(st.integers(1, 7)),
)
def test_lines_are_the_same_however_the_bytes_arrive(lines: list[str], end: str, cuts: list[int]) -> None:
    data = "".join(line + end for line in lines).encode()
    splitter = LineSplitter(max_line=20)
    got: list[str] = []
    for cut in cuts:
        got += splitter.feed(data[:cut])
        data = data[cut:]
    got += splitter.feed(data)
    got += splitter.feed(b"", final=True)
    assert got == lines
