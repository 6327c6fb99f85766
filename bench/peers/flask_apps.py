"""The peers of the web process, on the same server: an empty response, and a minimal webhook receiver.

Run as a process: python -m bench.peers.flask_apps empty|receiver PORT FOLDER [DATABASE]
"""

import hashlib
import hmac
import json
import logging
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import structlog
from flask import Flask, Response, jsonify, request
from pydantic import SecretStr
from sqlalchemy import create_engine

from tests.support.service import SECRET
from webhook.serving.server import serve
from webhook.settings import WebSettings

StoreDelivery = Callable[[tuple[str, str, str, str]], object]
_TABLE = "CREATE TABLE delivery (guid TEXT PRIMARY KEY, event TEXT, repository TEXT, head TEXT)"


def empty_app() -> Flask:
    """Return an application with an empty response."""
    app = Flask("empty")

    @app.get("/")
    def index() -> str:
        return ""

    return app


def receiver_app(store: StoreDelivery) -> Flask:
    """Return a minimal webhook receiver: verify, parse, store the delivery, respond."""
    app = Flask("receiver")

    @app.post("/webhook/github")
    def receive() -> tuple[Response, int]:
        body = request.get_data()
        signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signature, request.headers.get("X-Hub-Signature-256", "")):
            return jsonify(error="bad signature"), 401
        payload = json.loads(body)
        guid, event = request.headers["X-GitHub-Delivery"], request.headers["X-GitHub-Event"]
        store((guid, event, payload["repository"]["full_name"], payload["after"]))
        return jsonify(outcome="queued"), 202

    return app


def _in_sqlite(folder: Path) -> StoreDelivery:
    """Store in SQLite and return when the data is on the disk, like `repo2hub web`."""
    connection = sqlite3.connect(folder / "peer.db", check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(_TABLE)
    lock = threading.Lock()

    def store(row: tuple[str, str, str, str]) -> None:
        with lock:
            connection.execute("INSERT INTO delivery VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", row)

    return store


def _in_postgresql(address: str) -> StoreDelivery:
    """Store in PostgreSQL with one statement, which is its own transaction."""
    connect = {"autocommit": True}
    database = create_engine(
        address, pool_size=10, max_overflow=30, pool_reset_on_return=None, connect_args=connect
    )
    with closing(database.raw_connection()) as connection:
        connection.cursor().execute(_TABLE)

    def store(row: tuple[str, str, str, str]) -> None:
        with closing(database.raw_connection()) as connection:
            insert = "INSERT INTO delivery VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"
            connection.cursor().execute(insert, row)

    return store


def main(kind: str, port: str, folder: str, address: str = "") -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    if kind == "empty":
        app = empty_app()
    else:
        app = receiver_app(_in_postgresql(address) if address else _in_sqlite(Path(folder)))
    serve(app, WebSettings(port=int(port), webhook_secrets=(SecretStr(SECRET),)))


if __name__ == "__main__":
    main(*sys.argv[1:])
