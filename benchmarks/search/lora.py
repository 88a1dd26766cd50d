"""Whether schedules stay good once a LoRA is put on the model: those of the plain model, on a LoRA of other colors.

A LoRA is trained on the bundled model ``shapes`` in some minutes, on its own scenes in other colors, so that each image
changes. What ``quick`` and a search found on the plain model then runs with it on held-out captions, beside fewer
steps and a ``quick`` made with the LoRA; all is compared with the LoRA's own uncached run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import numpy as np
import typer
from rich.console import Console

import ecad_automl
from benchmarks.code import ACCEPT
from benchmarks.machine import RESULTS
from benchmarks.search import baselines
from benchmarks.search.bed_runs import at, figures_of, keep_runs, kept_runs_of
from benchmarks.search.beds import BEDS, HELD_OUT_NOISES, load_bed, model_of
from benchmarks.search.contestant import Contestant
from benchmarks.search.protocol import SPEEDUPS, loss_of
from benchmarks.search.quick import IMAGES, at_savings
from benchmarks.search.searched import searched_contestants, searched_front
from ecad_automl.bundled import BUNDLED
from ecad_automl.judging.evaluation import Evaluator
from studies.config import SearchConfig

if TYPE_CHECKING:
    from torch import Tensor

    from ecad_automl.models import LoadedModel
    from ecad_automl.rewards import Reward
    from ecad_automl.rewards.protocol import Floats

__all__ = ["KIND", "table"]

KIND = "lora"

_MADE_BY = "benchmarks.search.lora"
_BED = "shapes"
_RANK = 8
_PLAIN = "plain model"
_UNCACHED = "uncached"
#: By method, how tables call it, and what it is called among the baselines, which ran without a LoRA.
_METHODS = {
    "quick": ("`quick` of the plain model", "quick"),
    "quick with it": ("`quick` with the LoRA", None),
    "search": ("search of the plain model", None),
    "steps": ("fewer steps", "steps"),
}


class _InUsualColors:
    """A reward that is given images in the colors of the plain model.

    Args:
        reward: that judges them.
    """

    def __init__(self, reward: Reward) -> None:
        self.name, self._reward = reward.name, reward

    def score(self, images: Tensor, prompts: Sequence[str]) -> Floats:
        """See :class:`~ecad_automl.rewards.protocol.Reward`."""
        from training.shapes.lora import in_usual_colors

        return self._reward.score(in_usual_colors(images), prompts)


def main(
    steps: Annotated[int, typer.Option(help="Of training.")] = 600,
    pictures: Annotated[int, typer.Option(help="That are trained on.")] = 2048,
    captions: int = 32,
    evaluations: Annotated[int, typer.Option(help="Of the search of the plain model.")] = 50,
    work: Annotated[Path, typer.Option(help="Folder of the training and of the search, which go on there.")] = (
        Path("runs/lora")
    ),
    results: Path = RESULTS,
    accept_other_code: Annotated[bool, typer.Option("--accept-other-code", help=ACCEPT)] = False,
) -> None:
    """Train as far as it is not, run what is not kept yet, and write the table."""
    from training.shapes.lora import add_lora, train_lora

    bed, texts = BEDS[_BED], BUNDLED[_BED].prompts("calibration", IMAGES)
    found = searched_front(bed, work / "plain.db", SearchConfig(evaluations=evaluations))
    plain, layout = load_bed(bed, split="held-out", captions=captions, noises=HELD_OUT_NOISES)
    model = model_of(bed)
    add_lora(model.pipe.transformer, rank=_RANK)
    train_lora(model.pipe, work, steps=steps, pictures=pictures)
    evaluator = _with(model, plain)
    contestants = {
        _UNCACHED: Contestant(_UNCACHED, (_MADE_BY,), lambda: evaluator.reference_images, 1.0),
        _PLAIN: Contestant(_PLAIN, (_MADE_BY,), lambda: plain.reference_images, 1.0),
    }
    for method, of in (("quick", model_of(bed)), ("quick with it", model)):
        front = [point.schedule for point in ecad_automl.quick(of, texts, images=IMAGES)]
        for speedup, schedule in zip(SPEEDUPS, at_savings(front), strict=True):
            make = partial(evaluator.generate, schedule)
            contestants[f"{method}, {speedup:g}x"] = Contestant(method, (_MADE_BY,), make, schedule.mac_speedup)
    contestants |= searched_contestants("search", found, evaluator, layout, _MADE_BY)
    for count in dict.fromkeys(int(evaluator.settings.steps / speedup) for speedup in SPEEDUPS):
        make = partial(evaluator.generate, None, steps=count)
        saved = evaluator.settings.steps / count
        contestants[f"{count} steps"] = Contestant("steps", (_MADE_BY,), make, saved)
    runs = keep_runs(KIND, _BED, evaluator, contestants, results=results, accept_other_code=accept_other_code)
    lines = table(runs, kept_runs_of(baselines.KIND, _BED, results))
    (results / f"{KIND}-{_BED}.md").write_text("\n".join(lines) + "\n")
    Console().print("\n".join(lines), highlight=False, soft_wrap=True)


def _with(model: LoadedModel, plain: Evaluator) -> Evaluator:
    """An evaluator of a model with a LoRA on the captions of the plain one; captions are judged in usual colors."""
    metrics: dict[str, Any] = {
        name: _InUsualColors(cast("Reward", metric)) if name.endswith("margin") else metric
        for name, metric in plain.metrics.items()
    }
    return Evaluator(
        model.pipe, plain.prompts, plain.seeds, plain.reward, model.settings, batch_size=16, metrics=metrics
    )


def table(runs: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """Runs with a LoRA, in Markdown.

    Args:
        runs: kept ones.
        others: of the plain model without it, on the same captions or on more that begin with them.
    """
    lines = [
        "| at least | schedule | saved | median loss | mean (95 %) | PSNR, dB | captions right | without the LoRA |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, told in ((_UNCACHED, "uncached"), (_PLAIN, "plain model, uncached")):
        figures = figures_of(runs[name])
        loss = f"{np.median(figures.loss.mean(axis=1)):.3f}" if name == _PLAIN else "0"
        psnr = f"{np.median(figures.psnr):.1f}" if name == _PLAIN else "-"
        right = f"{(figures.margin > 0).mean():.0%}" if name == _UNCACHED else ""
        lines.append(f"| | {told} | 1.00x | {loss} | | {psnr} | {right} | |")
    for speedup in SPEEDUPS:
        for method, (told, called) in _METHODS.items():
            name = at(runs, method, speedup)
            if name is None:
                continue
            figures = figures_of(runs[name])
            loss, beside = loss_of(figures.loss), ""
            if called is not None and (other := at(others, called, speedup)) is not None:
                without = figures_of(others[other])
                captions = len(figures.loss)
                median = loss_of(without.loss[:captions]).median
                beside = f"{median:.3f}, {np.median(without.psnr[:captions]):.1f} dB"
            lines.append(
                f"| {speedup:g}x | {told} | {runs[name]['saved']:.2f}x | {loss.median:.3f} | {loss.mean:.3f} "
                f"({loss.low:.3f} to {loss.high:.3f}) | {np.median(figures.psnr):.1f} | "
                f"{(figures.margin > 0).mean():.0%} | {beside} |"
            )
    return lines


if __name__ == "__main__":
    typer.run(main)
