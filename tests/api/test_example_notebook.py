from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "search.ipynb"

EXECUTE = """
import sys
import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

source, folder = sys.argv[1:]
notebook = nbformat.read(source, as_version=4)
kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", connection_file=folder + "/kernel.json")
NotebookClient(notebook, kernel, timeout=1200, resources={"metadata": {"path": folder}}).execute()
nbformat.write(notebook, folder + "/executed.ipynb")
"""


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: Any, kind: str) -> list[str]:
    """All outputs of a MIME type."""
    found = [output for cell in code_cells(notebook) for output in cell.outputs]
    return [output.data[kind] for output in found if kind in output.get("data", {})]


def test_the_example_is_kept_without_outputs() -> None:
    notebook = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


@pytest.mark.slow
def test_the_example_runs_and_shows_progress_front_plot_and_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    # A process of its own: the sockets of the kernel's client are closed late.
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(EXAMPLE), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    notebook = nbformat.read(tmp_path / "executed.ipynb", as_version=4)

    html = outputs(notebook, "text/html")
    statuses = [text for text in html if "<caption>" in text]
    assert ["<caption>done</caption>" in text for text in statuses] == [True, True]  # one for each search
    assert sum("evaluated schedules are on the front" in text for text in html) == 1
    assert sum('aria-label="attn1: ' in text for text in html) == 1
    assert len(outputs(notebook, "image/png")) == 3  # the plot, and two images
    # The first cell loads the model, of which diffusers and transformers show their own progress.
    later = [output for cell in code_cells(notebook)[1:] for output in cell.outputs if output.output_type == "stream"]
    assert [stream.text for stream in later if stream.name == "stderr"] == []
    assert len(list((tmp_path / "schedules").glob("*.json"))) == 1
