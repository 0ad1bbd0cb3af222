"""What the service counts of itself, as Prometheus reads it."""

from __future__ import annotations

import time
from typing import Annotated, cast

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.types import Answer, SearchResult

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "kotae_http_requests",
            "HTTP requests",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "kotae_http_request_seconds",
            "Time until the response was sent whole",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.search_seconds = Histogram(
            "kotae_search_seconds", "Time to search", buckets=_SECONDS, registry=self.registry
        )
        self.answers = Counter(
            "kotae_answers", "Answers given", ("model", "refused"), registry=self.registry
        )
        self.ready = Gauge("kotae_ready", "Index and model are loaded", registry=self.registry)

    def searched(self, found: SearchResult) -> None:
        """Counts a search."""
        self.search_seconds.observe(found.took_ms.get("total", 0.0) / 1000)

    def answered(self, answer: Answer) -> None:
        """Counts an answer."""
        self.answers.labels(answer.model, str(answer.refused).lower()).inc()

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


class CountRequests:
    """Middleware: counts requests by route, not by path, so that the labels stay few."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on and counts it when it is done."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        try:
            await self.app(scope, receive, send_on)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(scope["method"], route, str(status)).inc()
            self.metrics.request_seconds.labels(route).observe(time.perf_counter() - began)


async def current_metrics(request: Request) -> Metrics:
    """The counters of the application that got the request."""
    return cast(Metrics, request.app.state.metrics)


CurrentMetrics = Annotated[Metrics, Depends(current_metrics)]
