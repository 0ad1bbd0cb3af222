"""A stand-in for a Qdrant server: its HTTP API, as far as Kotae asks it, over qdrant-client's own
local mode, so that several processes can share one collection."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pydantic import BaseModel, TypeAdapter
from qdrant_client import QdrantClient, models

POINTS = TypeAdapter(list[models.PointStruct])


class QdrantStandIn:
    """Collections in memory; `failures` of the next requests are answered with 503."""

    def __init__(self) -> None:
        self.client = QdrantClient(":memory:")
        self.lock = threading.Lock()
        self.failures = 0
        self.requests: list[str] = []

    def answer(self, method: str, path: str, body: dict[str, Any]) -> object:
        """The `result` of one request; raises KeyError for one that is not known."""
        client = self.client
        if path == "/collections/aliases":
            steps = TypeAdapter(list[models.AliasOperations]).validate_python(body["actions"])
            return client.update_collection_aliases(steps)
        lists = {"/aliases": client.get_aliases, "/collections": client.get_collections}
        if path in lists:
            return lists[path]()
        _, _, name, *parts = path.split("/")
        answers: dict[str, Callable[[], object]] = {
            "GET exists": lambda: {"exists": client.collection_exists(name)},
            "POST points/query": lambda: self._query(name, body),
            "POST points/count": lambda: client.count(name, exact=True),
            "POST points/delete": lambda: client.delete(name, points_selector=body["points"]),
            "PUT points": lambda: client.upsert(name, POINTS.validate_python(body["points"])),
            "PUT index": lambda: {"operation_id": 0, "status": "completed"},
            "DELETE ": lambda: client.delete_collection(name),
            "PUT ": lambda: self._create(name, models.CreateCollection.model_validate(body)),
        }
        return answers[f"{method} {'/'.join(parts)}"]()

    def _create(self, name: str, asked: models.CreateCollection) -> object:
        return self.client.create_collection(
            name, vectors_config=asked.vectors, sparse_vectors_config=asked.sparse_vectors
        )

    def _query(self, name: str, body: dict[str, Any]) -> object:
        asked = models.QueryRequest.model_validate(body)
        return self.client.query_points(
            name,
            query=asked.query,
            using=asked.using,
            query_filter=asked.filter,
            limit=asked.limit or 10,
            with_payload=False,
        )


@contextmanager
def qdrant_stand_in() -> Iterator[tuple[str, QdrantStandIn]]:
    """`qdrant://HOST:PORT` of a server that runs until the block is left, and the server."""
    stand_in = QdrantStandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet an answer: two wait for one another

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            path = self.path.split("?")[0]
            with stand_in.lock:
                stand_in.requests.append(f"{self.command} {path}")
                if stand_in.failures:
                    stand_in.failures -= 1
                    return self.reply(503, {"status": {"error": "starting"}})
                try:
                    result = stand_in.answer(self.command, path, body)
                except ValueError as error:  # as local mode says that a collection is not there
                    return self.reply(404, {"status": {"error": str(error)}})
            if isinstance(result, BaseModel):
                result = result.model_dump(mode="json")
            return self.reply(200, {"result": result, "status": "ok", "time": 0.0})

        do_GET = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815

        def reply(self, status: int, content: dict[str, Any]) -> None:
            encoded = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"qdrant://127.0.0.1:{server.server_port}", stand_in
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
