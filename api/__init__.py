"""The service: HTTP API, OpenAI-compatible endpoint and chat page over `rag.Assistant`."""

from api.app import create_app

__all__ = ["create_app"]
