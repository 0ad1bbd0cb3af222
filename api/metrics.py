"""What the service counts of itself, as Prometheus reads it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Protocol, cast

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.logs import method_of, route_of
from rag.types import Answer, SearchResult

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class CountedSlots(Protocol):
    """Counts what is at work, and what waits."""

    at_work: int
    waiting: int


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
        self.at_work = Gauge(
            "kotae_questions_at_work", "Questions at work", ("kind",), registry=self.registry
        )
        self.waiting = Gauge(
            "kotae_questions_waiting", "Questions that wait", ("kind",), registry=self.registry
        )
        self.stage_seconds = Histogram(
            "kotae_stage_seconds",
            "Time of each stage of a question: embed, search, generate, total",
            ("stage",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.leg_searches = Counter(
            "kotae_leg_searches",
            "Searches that a leg took part in; silent: it had nothing for any passage found",
            ("leg", "silent"),
            registry=self.registry,
        )
        self.model_failures = Counter(
            "kotae_model_failures",
            "Answers of a model that were replaced by an extractive one",
            ("model", "reason"),
            registry=self.registry,
        )
        self.rejected = Counter(
            "kotae_rejected", "Requests turned away", ("reason",), registry=self.registry
        )
        self.in_flight = Gauge(
            "kotae_http_requests_in_flight", "Requests being answered", registry=self.registry
        )
        self.snapshot_age = Gauge(
            "kotae_snapshot_age_seconds",
            "Time since the snapshot in use was built",
            registry=self.registry,
        )
        self.ready = Gauge("kotae_ready", "Index and model are loaded", registry=self.registry)

    def watch_slots(self, kind: str, slots: CountedSlots) -> None:
        """From now on shows how many questions of a kind are at work, and wait."""
        self.at_work.labels(kind).set_function(lambda: slots.at_work)
        self.waiting.labels(kind).set_function(lambda: slots.waiting)

    def watch_snapshot(self, built_at: Callable[[], str | None]) -> None:
        """From now on shows whether there is a snapshot, and how old it is."""
        self.ready.set_function(lambda: built_at() is not None)
        self.snapshot_age.set_function(lambda: _seconds_since(built_at()))

    def searched(self, found: SearchResult) -> None:
        """Counts a search, and which legs had nothing to say: a dead one hides behind the rest."""
        self.search_seconds.observe(found.took_ms.get("total", 0.0) / 1000)
        self._count_stages(found.took_ms)
        for leg in found.hits[0].signals if found.hits else ():
            silent = not any(hit.signals.get(leg, 0.0) > 0 for hit in found.hits)
            self.leg_searches.labels(leg, str(silent).lower()).inc()

    def answered(self, answer: Answer) -> None:
        """Counts an answer."""
        self.answers.labels(answer.model, str(answer.refused).lower()).inc()
        self._count_stages({"generate": answer.took_ms.get("generate", 0.0)})
        if answer.failed_model is not None:
            reason = answer.fallback_reason or "failed"
            self.model_failures.labels(answer.failed_model, reason).inc()

    def _count_stages(self, took_ms: Mapping[str, float]) -> None:
        for stage, milliseconds in took_ms.items():
            self.stage_seconds.labels(stage).observe(milliseconds / 1000)

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
            with self.metrics.in_flight.track_inprogress():
                await self.app(scope, receive, send_on)
        finally:
            route = route_of(scope)
            self.metrics.requests.labels(method_of(scope), route, str(status)).inc()
            self.metrics.request_seconds.labels(route).observe(time.perf_counter() - began)


def _seconds_since(moment: str | None) -> float:
    return math.nan if moment is None else time.time() - datetime.fromisoformat(moment).timestamp()


async def current_metrics(request: Request) -> Metrics:
    """The counters of the application that got the request."""
    return cast(Metrics, request.app.state.metrics)


CurrentMetrics = Annotated[Metrics, Depends(current_metrics)]
