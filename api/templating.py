"""Templates → pages."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.static_files import ADDRESS

_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.globals["static"] = ADDRESS


def render_page(template: str, **values: object) -> str:
    """A page; everything put into it is escaped unless it is marked as safe."""
    return _TEMPLATES.get_template(template).render(values)
