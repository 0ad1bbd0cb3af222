"""Whether the service is alive and ready, and what it counts: /healthz, /readyz, /metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from api.access.gate import Doorkeeper
from api.answering import CurrentAssistant
from api.metrics import CurrentMetrics
from api.schemas import ErrorResponse

router = APIRouter()


class HealthResponse(BaseModel):
    """The process answers."""

    status: str = "ok"


class ReadyResponse(BaseModel):
    """Index and model are loaded; strangers, where a key is asked for, learn no more than that."""

    status: str = "ready"
    snapshot_id: str | None = None
    documents: int | None = None
    models: list[str] | None = None


@router.get("/healthz", summary="動いているか")
async def healthz() -> HealthResponse:
    """Answers as long as the process lives."""
    return HealthResponse()


@router.get("/readyz", summary="質問に答えられるか", responses={503: {"model": ErrorResponse}})
def readyz(request: Request, assistant: CurrentAssistant) -> ReadyResponse:
    """503 until the index and the model are loaded."""
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    if doorkeeper.keys.demanded and not request.state.visitor:
        return ReadyResponse()
    return ReadyResponse(
        snapshot_id=assistant.snapshot_id,
        documents=len(assistant.documents()),
        models=list(assistant.models),
    )


@router.get("/metrics", summary="Prometheus 形式の計測値", response_class=Response)
def metrics(counted: CurrentMetrics) -> Response:
    """Prometheus' text format."""
    return Response(counted.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
