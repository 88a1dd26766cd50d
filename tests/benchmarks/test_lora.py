from __future__ import annotations

from typing import Any

from benchmarks.search.lora import table
from benchmarks.search.protocol import SPEEDUPS


def _run(method: str, loss: float, saved: float = 1.0, captions: int = 4) -> dict[str, Any]:
    values = [[loss, loss]] * captions
    return {"method": method, "saved": saved, "loss": values, "psnr": values, "margin": values}


def test_a_schedule_stands_beside_itself_without_the_lora_and_beside_fewer_steps() -> None:
    runs = {
        "uncached": _run("uncached", 0.0),
        "plain model": _run("plain model", 2.5),
        "quick, 2x": _run("quick", 0.125, 2.0),
        "quick with it, 2x": _run("quick with it", 0.25, 2.0),
        "10 steps": _run("steps", 0.5, 2.0),
    }
    others = {"quick, 10": _run("quick", 0.0625, 2.0, captions=9), "10 steps": _run("steps", 0.75, 2.0, captions=9)}
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(runs, others)]
    assert {len(line) for line in lines} == {8}
    assert lines[3][1:4] == ["plain model, uncached", "1.00x", "2.500"]
    at_two = [line for line in lines if line[0] == "2x"]
    assert [line[1] for line in at_two] == ["`quick` of the plain model", "`quick` with the LoRA", "fewer steps"]
    assert [line[3] for line in at_two] == ["0.125", "0.250", "0.500"]
    assert [line[7] for line in at_two] == ["0.062, 0.1 dB", "", "0.750, 0.8 dB"]
    assert {line[0] for line in lines[4:]} == {f"{speedup:g}x" for speedup in SPEEDUPS if speedup <= 2}
