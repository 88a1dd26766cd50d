"""Texts of others in the report and in the notes of the dashboard, as a browser shows them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from benchmarks.made_up_study import made_up_study
from tests.browser import Watched, browser, page
from tests.views.report.made_up import made_up_report

pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
pytest.importorskip("plotly", reason="plotly is not installed")

__all__ = ["browser", "page"]  # fixtures

#: What would run, load or lead somewhere if it were taken for HTML, Markdown, mathematics or a diagram.
HOSTILE = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "<svg/onload=window.hacked=1>",
    "</li></ul></p><iframe src='javascript:parent.hacked=1'></iframe>",
    "[a link](javascript:window.hacked=1) and [another](http://192.0.2.1/)",
    "![a picture](http://192.0.2.1/tracker.png)",
    "<http://192.0.2.1/> and http://192.0.2.1/bare and www.example.invalid",
    "[reference][1]\n\n[1]: http://192.0.2.1/ 'title'",
    "$\\href{javascript:window.hacked=1}{x}$ $$\\unicode{x}$$",
    "```html <b>fence</b> ``` | cell | <!-- comment -->",
    "&lt;script&gt; &#60;b&#62; \\<b\\>",
    "<a href='data:text/html,<script>1</script>'>data</a>",
]
MARKUP = "script, iframe, img, svg:not(.MuiSvgIcon-root), a"

Run = Callable[..., tuple[int, str, str]]


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None: ...


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_hostile_texts_are_texts_in_the_notes_of_the_dashboard(tmp_path: Path, run_cli: Run, page: Watched) -> None:
    from optuna_dashboard import wsgi

    from storage import open_served_storage

    database = tmp_path / "study.db"
    # Six prompts stand in a note.
    for name, prompts in ((HOSTILE[1], HOSTILE[:6]), (HOSTILE[0], HOSTILE[6:])):
        made_up_study(database, 8, name=name, size=(2, 6), prompts=prompts, identity={"model": HOSTILE[4]})
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("update ecad_evaluations set origin = ?", (HOSTILE[3],))
        connection.commit()
    assert run_cli("dashboard", "--storage", database, "--no-serve")[0] == 0
    with make_server("127.0.0.1", 0, wsgi(open_served_storage(database)), handler_class=_Silent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            page.page.set_default_timeout(180_000)  # milliseconds; a busy machine is slow
            asked: list[str] = []
            page.page.on("request", lambda request: asked.append(request.url))
            home = f"http://127.0.0.1:{server.server_port}"
            for study, prompts in ((1, HOSTILE[:6]), (2, HOSTILE[6:])):
                page.page.goto(f"{home}/dashboard/studies/{study}/note")
                page.page.get_by_text("What it is compared with").wait_for(timeout=120_000)
                text = one_line(page.page.inner_text("body"))
                for said in (*prompts, HOSTILE[4], HOSTILE[3]):
                    assert one_line(said) in text
                note = page.page.locator("h2", has_text="What it is compared with").locator("..")
                assert note.locator(MARKUP).evaluate_all("all => all.map(one => one.outerHTML)") == []
            assert page.page.evaluate("window.hacked") is None
            assert [url for url in asked if not url.startswith((home, "data:"))] == []
        finally:
            server.shutdown()


def test_hostile_texts_are_texts_in_the_report(tmp_path: Path, page: Watched) -> None:
    from ecad_automl.views.report import html_page

    report = made_up_report(images=False)
    study = report.study
    facts = dict(zip(("model", "revision", "scheduler", "dtype"), HOSTILE, strict=False))
    hostile = replace(
        study,
        name=HOSTILE[0],
        storage=HOSTILE[4],
        identity={**study.identity, **facts, "prompts": HOSTILE, "reward": HOSTILE[3], "constraints": HOSTILE},
        runs=tuple(replace(one, origin=HOSTILE[1], operator=HOSTILE[2]) for one in study.runs),
    )
    data = replace(report, study=hostile, versions={HOSTILE[1]: HOSTILE[2]})
    (tmp_path / "report.html").write_text(html_page(data), encoding="utf-8")
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url))
    page.page.goto((tmp_path / "report.html").as_uri())
    page.page.wait_for_selector("html[data-ready]", timeout=120_000)
    assert [one_line(text) for text in page.page.locator("#prompts li").all_text_contents()] == [
        one_line(text) for text in HOSTILE
    ]
    assert page.page.text_content("h1") == HOSTILE[0]
    assert page.page.evaluate("window.hacked") is None
    assert page.page.locator("#prompts").locator(MARKUP).count() == 0
    assert page.page.locator("a[href*='192.0.2.1'], a[href^='javascript'], iframe, object, embed").count() == 0
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert page.complaints == []
