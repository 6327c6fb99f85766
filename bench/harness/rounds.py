"""Alternate rounds of ours and of the peer, and print their results."""

import statistics
from collections.abc import Callable, Sequence
from typing import TypeVar

Ours = TypeVar("Ours")
Peer = TypeVar("Peer")


def take_turns(
    count: int, ours: Callable[[int], Ours], peer: Callable[[int], Peer]
) -> tuple[list[Ours], list[Peer]]:
    """Run both `count` times in turns; in even rounds ours is first, in odd rounds the peer.

    Each gets the number of its round.
    """
    mine: list[Ours] = []
    peers: list[Peer] = []
    for number in range(count):
        if number % 2 == 0:
            mine.append(ours(number))
        peers.append(peer(number))
        if number % 2 == 1:
            mine.append(ours(number))
    return mine, peers


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Return the ratio of each round."""
    return [one / other for one, other in zip(over, under, strict=True)]


def print_median(what: str, values: Sequence[float], unit: str = "") -> None:
    """Print the median with the lowest and the highest value."""
    middle = statistics.median(values)
    span = f"  ({min(values):.4g} to {max(values):.4g})" if len(values) > 1 else ""
    print(f"  {what:<44} {middle:8.4g} {unit}{span}", flush=True)


def print_verdict(what: str, values: Sequence[float], target: str, is_met: Callable[[float], bool]) -> None:
    """Print the median and whether it meets its target."""
    middle = statistics.median(values)
    word = "met" if is_met(middle) else "NOT met"
    print(
        f"  {what:<44} {middle:8.3g}  target {target}: {word}  (rounds {', '.join(f'{v:.3g}' for v in values)})"
    )
