"""Cutting a log into chunks, and capping its length."""

from hypothesis import given
from hypothesis import strategies as st

from builder.logs.chunks import Chunker

MIB = 2**20


def test_lines_wait_for_more_until_they_are_due() -> None:
    chunker = Chunker(flush_after=0.5)
    assert chunker.add("one", 10.0) == []
    assert chunker.due(10.4) == []
    assert chunker.add("two", 10.4) == []
    assert chunker.due(10.5) == ["one\ntwo\n"]
    assert chunker.due(99.0) == []
    assert chunker.add("three", 99.0) == []
    assert chunker.close() == ["three\n"]


def test_a_line_that_arrives_when_a_chunk_is_due_is_part_of_it() -> None:
    chunker = Chunker(flush_after=0.5)
    chunker.add("one", 10.0)
    assert chunker.add("two", 11.0) == ["one\ntwo\n"]


def test_an_empty_log_has_no_chunks() -> None:
    assert Chunker().close() == []


def test_a_log_over_the_cap_keeps_its_beginning_and_its_end() -> None:
    chunker = Chunker(max_chunk_bytes=100, cap_bytes=MIB // 4, tail_bytes=50)
    chunks = [chunk for number in range(100_000) for chunk in chunker.add(f"line {number}", 0.0)]
    live = "".join(chunks + chunker.due(1.0))
    assert live.endswith("[repo2hub] log cut at 0.25 MiB; the last lines follow\n")
    text = live + "".join(chunker.close())
    assert text.startswith("line 0\nline 1\n")
    assert text.endswith("line 99998\nline 99999\n")
    assert text.count("[repo2hub] log cut") == 1
    assert len(text) <= MIB // 4 + 100


@given(st.lists(st.text(alphabet="aé€😀\x00\ud800\n", max_size=30), max_size=30), st.integers(8, 64))
def test_chunks_are_small_and_lose_nothing_under_the_cap(lines: list[str], size: int) -> None:
    chunker = Chunker(max_chunk_bytes=size)
    chunks = [chunk for line in lines for chunk in chunker.add(line, 0.0)] + chunker.close()
    assert "".join(chunks) == "".join(line.replace("\ud800", "?") + "\n" for line in lines)
    assert all(0 < len(chunk.encode()) <= size for chunk in chunks)


@given(st.lists(st.text(max_size=20)), st.integers(16, 60), st.integers(0, 40))
def test_a_cut_log_stays_within_the_cap_and_ends_with_the_last_line(
    lines: list[str], cap: int, tail: int
) -> None:
    chunker = Chunker(max_chunk_bytes=10, cap_bytes=cap, tail_bytes=tail)
    text = "".join([chunk for line in lines for chunk in chunker.add(line, 0.0)] + chunker.close())
    whole = "".join(line + "\n" for line in lines)
    if "[repo2hub]" not in text:
        assert text == whole
    else:
        head, _, rest = text.partition("[repo2hub]")
        end = rest.partition("follow\n")[2]
        assert whole.startswith(head) and whole.endswith(end)
        assert len((head + end).encode()) <= cap
