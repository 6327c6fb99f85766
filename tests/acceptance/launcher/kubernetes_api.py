"""A stand-in for a Kubernetes cluster: as much of its API as KubeSpawner uses, each pod run as a docker container.

It takes pods, lists, watches and deletes them, and tells what happens to them as events. So KubeSpawner, its
reflectors and the pages above it are the real ones, and so are the images and the servers in them. What a cluster
would do besides is not there: no login, selectors, scheduling, volumes, probes, limits or security contexts, one
container to a pod, images from the local engine only. Every pod is on the node's own network (127.0.0.1), so a hub
on loopback is reached, and each server needs a port of its own: c.KubeSpawner.port.
"""

import copy
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import docker
from docker.errors import APIError
from docker.models.containers import Container

Resource = dict[str, Any]
_PATH = re.compile(r"/api/v1/namespaces/(?P<namespace>[^/]+)/(?P<kind>pods|events)(?:/(?P<name>[^/]+))?")


@dataclass
class KubernetesApi:
    """Serves one cluster at 127.0.0.1; `kubeconfig` is the file that KUBECONFIG is to name."""

    engine: docker.DockerClient
    folder: Path
    pods: dict[str, Resource] = field(default_factory=dict)
    _containers: dict[str, Container] = field(default_factory=dict)
    _changes: list[tuple[str, str, Resource]] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def start(self) -> None:
        cluster = self

        class Handler(_Handler):
            api = cluster

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, name="kubernetes", daemon=True).start()
        here = f"http://127.0.0.1:{self._http.server_address[1]}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": here}}],
            "users": [{"name": "test", "user": {"token": "none is asked for"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        self.kubeconfig.write_text(json.dumps(config))  # which is YAML too

    def stop(self) -> None:
        for name in list(self.pods):
            self.delete(name)
        self._http.shutdown()
        self._http.server_close()

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def create(self, namespace: str, pod: Resource) -> Resource:
        """Take a pod and start its container; what becomes of it is to be watched."""
        name = pod["metadata"]["name"]
        uid = f"{name}-{len(self._changes)}"
        pod["metadata"] |= {"namespace": namespace, "uid": uid, "resourceVersion": "0"}
        pod["status"] = {"phase": "Pending", "podIP": None, "containerStatuses": []}
        self.pods[name] = pod
        self._record("pods", "ADDED", pod)
        threading.Thread(target=self._run, args=(pod,), daemon=True).start()
        return pod

    def delete(self, name: str) -> Resource | None:
        """Remove a pod and its container; None where there is no such pod."""
        pod = self.pods.pop(name, None)
        if pod is not None:
            container = self._containers.pop(pod["metadata"]["uid"], None)
            if container is not None:
                container.remove(force=True)
            self._record("pods", "DELETED", pod)
        return pod

    def listed(self, kind: str) -> Resource:
        """Return all resources of a kind, and the version from which on to watch them."""
        with self._changed:
            items = list(self.pods.values()) if kind == "pods" else []
            return {"items": items, "metadata": {"resourceVersion": str(len(self._changes))}}

    def watch(self, kind: str, version: int, seconds: float) -> Iterator[Resource]:
        """Yield what changed since a version, and what changes, for that long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self._changed:
                self._changed.wait_for(lambda at=version: len(self._changes) > at, end - time.monotonic())  # type: ignore[misc]
                new, version = self._changes[version:], len(self._changes)
            yield from ({"type": how, "object": what} for of, how, what in new if of == kind)

    def _run(self, pod: Resource) -> None:
        spec = pod["spec"]["containers"][0]
        self._event(pod, "Normal", f"Starting {spec['image']}")
        try:
            container = self.engine.containers.run(
                spec["image"],
                spec.get("args") or spec.get("command"),
                detach=True,
                init=True,
                network_mode="host",
                environment={variable["name"]: variable.get("value", "") for variable in spec["env"]},
            )
        except APIError as exc:
            self._event(pod, "Warning", f"Failed to start the container: {exc.explanation}")
            return
        self._containers[pod["metadata"]["uid"]] = container
        self._state(pod, "Running", {"running": {}})
        try:
            code = container.wait()["StatusCode"]
            said = container.logs(tail=20)
        except APIError:
            return  # deleted
        self._event(pod, "Warning", said.decode("utf-8", "replace"))
        self._state(pod, "Succeeded" if code == 0 else "Failed", {"terminated": {"exitCode": code}})

    def _state(self, pod: Resource, phase: str, state: Resource) -> None:
        container = pod["spec"]["containers"][0]
        status = {"name": container["name"], "ready": phase == "Running", "state": state}
        status |= {"image": container["image"], "imageID": container["image"], "restartCount": 0}
        pod["status"] = {"phase": phase, "podIP": "127.0.0.1", "containerStatuses": [status]}
        if pod["metadata"]["name"] in self.pods:
            self._record("pods", "MODIFIED", pod)

    def _event(self, pod: Resource, kind: str, message: str) -> None:
        metadata = pod["metadata"]
        uid = f"event-{len(self._changes)}"
        event = {
            "metadata": {"name": uid, "uid": uid, "namespace": metadata["namespace"]},
            "involvedObject": {"kind": "Pod", "name": metadata["name"]},
            "lastTimestamp": datetime.now(UTC).isoformat(),
            "type": kind,
            "message": message,
        }
        self._record("events", "ADDED", event)

    def _record(self, kind: str, how: str, resource: Resource) -> None:
        with self._changed:
            recorded = copy.deepcopy(resource)
            recorded["metadata"]["resourceVersion"] = str(len(self._changes) + 1)
            self._changes.append((kind, how, recorded))
            self._changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    """One request of KubeSpawner; HTTP/1.0, so that an answer ends where its connection does."""

    api: KubernetesApi

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        where = _PATH.fullmatch(url.path)
        if where is None:
            return self._answer(404, None)
        if where["name"] is not None:
            pod = self.api.pods.get(where["name"])
            return self._answer(200 if pod else 404, pod)
        if "watch" not in query:
            return self._answer(200, self.api.listed(where["kind"]))
        self._answer(200)
        changes = self.api.watch(
            where["kind"], int(query["resourceVersion"]), float(query.get("timeoutSeconds", 10))
        )
        with suppress(ConnectionError):
            for change in changes:
                self.wfile.write(json.dumps(change).encode() + b"\n")
        return None

    def do_POST(self) -> None:
        where = _PATH.fullmatch(urlsplit(self.path).path)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if where is None:
            self._answer(404, None)
        elif body["metadata"]["name"] in self.api.pods:
            self._answer(409, None)
        else:
            self._answer(201, self.api.create(where["namespace"], body))

    def do_DELETE(self) -> None:
        where = _PATH.fullmatch(urlsplit(self.path).path)
        pod = self.api.delete(where["name"]) if where else None
        self._answer(200 if pod else 404, pod)

    def _answer(self, status: int, *body: Resource | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        for resource in body:
            self.wfile.write(json.dumps(resource or {"kind": "Status", "code": status}).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing: the hub's log has it."""
