"""The demo, `make run` and `make hub`: the whole service on this machine. It needs a checkout."""
