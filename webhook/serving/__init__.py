"""The server: HTTP connections on one event loop, Flask in a small pool of threads."""
