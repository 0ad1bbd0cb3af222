"""Results → docs/benchmarks.md and its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from benchmarks.figures import (
    MEGABYTE,
    Spread,
    measured_names,
    quality_of,
    ratios_to_ours,
    timings_of,
)
from benchmarks.measuring import CLIENTS, METRICS
from benchmarks.results import Results
from benchmarks.systems import KOTAE
from eval.intervals import Estimate

NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Panel:
    """One column of the picture: a bar for each system that has the figure."""

    title: str
    values: Mapping[str, Spread]
    form: str

    def width(self, name: str) -> float:
        """The bar's share of the longest one."""
        return self.values[name].middle / max(spread.most for spread in self.values.values())

    def label(self, name: str) -> str:
        """The figure at the end of the bar."""
        return self.form.format(self.values[name].middle)


def write_report(results: Results, page: Path, picture: Path) -> None:
    """Both files, replacing what an earlier run has written."""
    page.parent.mkdir(parents=True, exist_ok=True)
    picture.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render_page(results, picture.relative_to(page.parent).as_posix()), "utf-8")
    picture.write_text(render_picture(results), "utf-8")


def render_page(results: Results, picture: str) -> str:
    """The whole page as Markdown."""
    names = measured_names(results)
    return _template("report.md.j2").render(
        results=results,
        picture=picture,
        rounds=len(results.rounds),
        quality=_quality_rows(results, names),
        speed=_speed_rows(results, names),
        ratios=_ratio_rows(results, names),
        versions=_versions(results),
    )


def render_picture(results: Results) -> str:
    """Bars side by side, as SVG that follows the reader's light or dark scheme."""
    names = measured_names(results)
    quality = {name: quality_of(results, name, "gold") for name in names}
    timings = {name: timings_of(results, name) for name in names}

    def share(metric: str) -> dict[str, Spread]:
        return {
            name: Spread(found[metric].value, found[metric].low, found[metric].high, 1)
            for name, found in quality.items()
            if found
        }

    def timing(what: str) -> dict[str, Spread]:
        return {name: found[what] for name, found in timings.items() if found}

    panels = [
        Panel("found first (hit@1)", share("hit@1"), "{:.2f}"),
        Panel("among the first five (hit@5)", share("hit@5"), "{:.2f}"),
        Panel("a question, p50 ms", timing("p50_ms"), "{:.1f}"),
        Panel("first answer, s", timing("first_answer_seconds"), "{:.1f}"),
    ]
    return _template("plot.svg.j2").render(
        names=names, panels=[panel for panel in panels if panel.values], ours=KOTAE
    )


def _quality_rows(results: Results, names: Sequence[str]) -> list[list[str]]:
    rows = []
    for name in names:
        found = results.quality.get(name, {}).get("gold")
        chars = f"{found['passage_chars']:.0f}" if found else NOTHING
        passages = str(found["passages"]) if found else NOTHING
        cells = [name, passages, chars]
        for note_set in ("gold", "JSQuAD"):
            estimates = quality_of(results, name, note_set)
            cells += [_estimate(estimates[m]) if estimates else NOTHING for m in METRICS]
        rows.append(cells)
    return rows


def _speed_rows(results: Results, names: Sequence[str]) -> list[list[str]]:
    rows = []
    for name in names:
        found = timings_of(results, name)
        if not found:
            continue
        size = results.systems[name]["size_bytes"] / MEGABYTE
        cells = [
            name,
            f"{found['index_seconds'].middle:.1f}",
            f"{found['first_answer_seconds'].middle:.1f}",
        ]
        cells += [f"{found[what].middle:.1f}" for what in ("p50_ms", "p95_ms", "p99_ms")]
        cells += [f"{found[f'rate@{clients}'].middle:.0f}" for clients in CLIENTS]
        cells += [f"{found['resident_bytes'].middle / MEGABYTE:,.0f}", f"{size:,.0f}"]
        rows.append(cells)
    return rows


def _ratio_rows(results: Results, names: Sequence[str]) -> list[list[str]]:
    shown = ("index_seconds", "first_answer_seconds", "p50_ms", "p95_ms")
    rows = []
    for name in names:
        found = ratios_to_ours(results, name) if name != KOTAE else {}
        if found:
            columns = (*shown, *(f"rate@{clients}" for clients in CLIENTS), "resident_bytes")
            rows.append([name, *(_spread(found[what]) for what in columns)])
    return rows


def _versions(results: Results) -> dict[str, str]:
    """Every package that a row is about, once, with its version."""
    return {
        package: version
        for system in results.systems.values()
        for package, version in system["versions"].items()
    }


def _estimate(estimate: Estimate) -> str:
    low, high = (f"{edge:.2f}".removeprefix("0") for edge in (estimate.low, estimate.high))
    return f"{estimate.value:.3f} <small>{low}–{high}</small>"


def _spread(spread: Spread) -> str:
    return f"{spread.middle:.2f} <small>{spread.least:.2f}–{spread.most:.2f}</small>"


def _template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=name.endswith(".svg.j2"),
    )
    return environment.get_template(name)
