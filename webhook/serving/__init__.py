"""The server: HTTP connections on one event loop, Flask in a small pool of threads, log streams as coroutines.

It runs on uvicorn. granian answers more requests a second (32 connections: GET 1.6 times, deliveries 1.2 times;
one connection: the same), and 2,000 viewers of a log cost both the same processor time. But under 3,500 hostile
connections granian used 2.5 times the memory, and it gives no access to its connections and sockets: a client that
does not read is never closed, and systemd's sockets cannot be taken over. The database limits deliveries, not the
server.
"""
