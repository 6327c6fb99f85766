"""`make run` and `make hub`: the whole service on this machine, in a checkout."""
