"""How fast repo2hub is, each time beside its plain alternative in the same run: `make bench`.

Machines differ and are noisy, so no absolute figure is a result. What counts is a ratio: rounds of ours and of the
peer take turns, and the median round is told with the lowest and the highest. The load of the machine and the time
that its disk takes to keep a few bytes are printed beside it.
"""
