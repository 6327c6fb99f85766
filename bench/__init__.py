"""Benchmarks, each beside a plain alternative (the peer) in the same run: `make bench`.

Machines differ and are noisy, so the results are ratios: rounds of ours and of the peer alternate, and the
median of the rounds is printed with the lowest and the highest. The load of the machine and the latency of its
disk are printed too.
"""
