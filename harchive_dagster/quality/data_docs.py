"""Static pages of the last validations, rendered by Great Expectations itself. On demand; nothing is judged here."""

import html
import json
import os
from pathlib import Path
from typing import Any

from harchive_dagster.errors import SettingsError


def write_data_docs(validations: Path, out: Path) -> Path:
    """Render the kept validations of every stage and partition.

    Args:
        validations: folder that the gates keep their last reports in.
        out: folder for the pages; created.

    Returns:
        The index page.

    Raises:
        SettingsError: nothing was validated yet.
    """
    reports = sorted(validations.glob("*/*.json"))
    if not reports:
        raise SettingsError(
            f"No validation is kept in {validations}.",
            consequence="There is nothing to show.",
            mend="Materialize a worker-day first, or set HARCHIVE_LAKE to the lake that holds one.",
        )
    out.mkdir(parents=True, exist_ok=True)
    lines = []
    for report in reports:
        for number, result in enumerate(json.loads(report.read_text())):
            page = out / f"{report.parent.name}_{report.stem}_{number}.html"
            page.write_text(_page(result))
            lines.append(_line(page, report, result))
    index = out / "index.html"
    index.write_text(_INDEX.format(rows="\n".join(lines)))
    return index


_INDEX = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>harchive: last validations</title>
<style>body{{font-family:sans-serif;margin:2em}}td,th{{padding:.2em 1em;text-align:left}}.no{{color:#b00}}</style>
</head>
<body><h1>Last validations</h1>
<table><tr><th>stage</th><th>worker-day</th><th>suite</th><th>outcome</th></tr>
{rows}
</table></body></html>
"""


def _line(page: Path, report: Path, result: dict[str, Any]) -> str:
    outcome = "all hold" if result["success"] else "broken"
    style = "" if result["success"] else ' class="no"'
    name = html.escape(result["suite_name"])
    day, _, worker = report.stem.partition("_")
    return (
        f"<tr><td>{html.escape(report.parent.name)}</td><td>{html.escape(day)} {html.escape(worker)}</td>"
        f'<td><a href="{page.name}">{name}</a></td><td{style}>{outcome}</td></tr>'
    )


def _page(result: dict[str, Any]) -> str:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResultSchema
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    loaded = ExpectationSuiteValidationResultSchema().load(result)
    content = ValidationResultsPageRenderer().render(loaded)
    return str(DefaultJinjaPageView().render(content))  # type: ignore[no-untyped-call]  # theirs is untyped
