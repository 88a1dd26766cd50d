"""The report as one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from importlib import import_module, resources

from ecad_automl.errors import EcadError
from ecad_automl.views.report._payload import payload, script_json
from ecad_automl.views.report.data import Report

_ASSETS = resources.files("ecad_automl.views.report") / "assets"

#: In the order in which they use each other.
_SCRIPTS = ("study.js", "page.js", "heatmap.js", "charts.js", "details.js", "compare.js", "main.js")


def html_page(report: Report) -> str:
    """The whole page: markup, style, scripts, plotly.js, data and images.

    The page's own content security policy lets it load nothing, and run only the scripts that are in it.

    Raises:
        EcadError: plotly is not installed.
    """
    plotly = _plotly()
    # One scope for all files, and none of their names in the page.
    script = '(() => {\n"use strict";\n' + "\n".join(_asset(name) for name in _SCRIPTS) + "\n})();"
    theme = _asset("theme.js")
    filled = {
        "policy": _policy(theme, plotly, script),
        "title": html.escape(f"{report.study.name}: caching schedules"),
        "theme": theme,
        "style": _asset("report.css"),
        "plotly": plotly,
        "data": script_json(payload(report)),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: filled[match[1]], _asset("report.html"))


def _policy(*scripts: str) -> str:
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    # plotly.js sets styles of its own.
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _plotly() -> str:
    try:
        source = str(import_module("plotly.offline").get_plotlyjs())
    except ImportError as error:
        raise EcadError("plotly is not installed; install it with pip install 'ecad-automl[report]'.") from error
    if "</script" in source.lower() or "<!--" in source:
        raise EcadError("The plotly.js of this plotly cannot stand inside a page; install another version of plotly.")
    return source
