"""The caches of diffusers and cache-dit on the test beds, at settings that each has chosen for itself.

On captions and noises of searches a small sweep is run of each cache; at each saving that setting is taken which loses
least there among those that save as much. It is run on held-out captions; where it saves too little there, as caches
that decide by the images may, the next best is. MACs are those that are really done, as PyTorch counts them.

    python -m tests.references.install optional   # cache-dit; or: pip install cache-dit
    PYTHONPATH=.references/optional python -m benchmarks.search.cache_baselines
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import diffusers
import torch
import typer
from rich.console import Console

from benchmarks.code import ACCEPT
from benchmarks.machine import RESULTS
from benchmarks.runtime.cache_settings import swept_settings
from benchmarks.runtime.caches import Setting, calibrate_magcache, helped, installed, transformer_macs
from benchmarks.search import baseline_report
from benchmarks.search.baselines import CACHES, KIND, all_kept
from benchmarks.search.bed_runs import figures_of, keep_runs, wanted_beds
from benchmarks.search.beds import BEDS, HELD_OUT_NOISES, Bed, load_bed
from benchmarks.search.contestant import Contestant, DoesNotRunError
from benchmarks.search.protocol import SPEEDUPS, best_within
from ecad_automl.allocator import keep_freed_memory
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.models.generation import encode_prompts, generate_batch

__all__ = ["SWEEP", "CacheRun", "chosen"]

#: The kind of kept runs on captions of searches.
SWEEP = "cache_sweep"
_MODULES = ("benchmarks.runtime.cache_settings", "benchmarks.runtime.caches")


class CacheRun:
    """Runs of a cache at one setting, whose MACs are counted.

    Args:
        evaluator: whose captions, noises and pipeline are used.
        setting: the cache.
        full: MACs of the uncached run for an image.
    """

    def __init__(self, evaluator: Evaluator, setting: Setting, full: float) -> None:
        self._evaluator, self._setting, self._full = evaluator, setting, full
        self._macs = float("nan")

    def contestant(self) -> Contestant:
        """It, as a contestant."""
        setting = self._setting
        return Contestant(f"{setting.library} {setting.cache}", _MODULES, self.images, self.saved)

    def images(self) -> Any:
        """Images by caption, then noise.

        Raises:
            DoesNotRunError: the cache raised an error on this pipeline.
        """
        items = _items(self._evaluator)
        made: list[Any] = []
        try:
            with installed(self._evaluator.pipe, self._setting):
                if self._setting.dynamic:  # which steps it leaves out depends on the images
                    self._macs = self._counted(items, made)
                else:
                    self._macs = self._counted(items[:1], [])
                    _generate(self._evaluator, items, made)
        except Exception as error:
            said = str(error).partition("\n")[0]
            raise DoesNotRunError(f"{type(error).__name__}: {said}") from error
        return torch.cat(made)

    def saved(self) -> float:
        """How many times fewer MACs than the uncached run, after :meth:`images`."""
        return self._full / self._macs

    def _counted(self, items: list[tuple[str, int]], made: list[Any]) -> float:
        """MACs of the transformer for an image."""
        macs = transformer_macs(self._evaluator.pipe, lambda: _generate(self._evaluator, items, made))
        return macs / len(items)


def _items(evaluator: Evaluator) -> list[tuple[str, int]]:
    """Caption and noise of each image."""
    return [(caption, seed) for caption in evaluator.prompts for seed in evaluator.seeds]


def _generate(evaluator: Evaluator, items: list[tuple[str, int]], made: list[Any]) -> None:
    """Make images in the state that the pipeline is in, as the evaluator would."""
    pipe, settings = evaluator.pipe, evaluator.settings
    pipe.set_progress_bar_config(disable=True)
    for start in range(0, len(items), evaluator.batch_size):
        chunk = items[start : start + evaluator.batch_size]
        helped(pipe)
        encoded = encode_prompts(pipe, [caption for caption, _ in chunk], settings)
        made.append(generate_batch(pipe, encoded, [seed for _, seed in chunk], settings))


def chosen(sweep: Mapping[str, Any], speedup: float, taken: Callable[[str], float | None]) -> dict[str, str]:
    """By cache, the setting that loses least in a sweep among those that save enough, there and where they are run.

    Args:
        sweep: kept runs of a sweep.
        speedup: how many times less a run must cost.
        taken: runs a setting on other captions and tells what it saves there; None where it does not run.
    """
    found = {}
    for method in dict.fromkeys(run["method"] for run in sweep.values()):
        left = {name: run for name, run in sweep.items() if run["method"] == method and "failed" not in run}
        while left:
            names = list(left)
            costs = [1 / left[name]["saved"] for name in names]
            best = best_within(costs, [-float(figures_of(left[name]).loss.mean()) for name in names], 1.0, speedup)
            if best is None:
                break
            saved = taken(names[best])
            if saved is not None and best_within([1 / saved], [0.0], 1.0, speedup) is not None:
                found[method] = names[best]
                break
            del left[names[best]]
    return found


def main(
    bed: Annotated[list[str] | None, typer.Option(help="Which beds; all but the last one by default.")] = None,
    captions: int = 96,
    results: Path = RESULTS,
    accept_other_code: Annotated[bool, typer.Option("--accept-other-code", help=ACCEPT)] = False,
) -> None:
    """Run what is not kept yet, and write the tables of all that needs no search."""
    torch.set_num_threads(1)
    keep_freed_memory()
    diffusers.utils.logging.set_verbosity_error()  # FasterCache warns that it is an experiment
    for name in wanted_beds(bed):
        _run(name, BEDS[name], captions, results, accept_other_code)
        text = "\n".join(baseline_report.page(all_kept(name, results)))
        (results / f"{KIND}-{name}.md").write_text(text + "\n")
        Console().print(text, highlight=False, soft_wrap=True)


def _run(name: str, bed: Bed, captions: int, results: Path, accept_other_code: bool) -> None:
    tried, layout = load_bed(bed, split="calibration", captions=bed.captions, noises=bed.noises)
    held_out, _ = load_bed(bed, split="held-out", captions=captions, noises=HELD_OUT_NOISES)
    full = float(tried.settings.steps * layout.step_macs)
    settings = {each.name: each for each in swept_settings(tried.settings.steps, _mag_ratios(tried))}
    contestants = {key: CacheRun(tried, setting, full).contestant() for key, setting in settings.items()}
    sweep = keep_runs(SWEEP, name, tried, contestants, results=results, accept_other_code=accept_other_code)
    methods = {contestant.method for contestant in contestants.values()}
    # One setting of each cache that does not run at all, so that tables say so.
    for run in sweep.values():
        if "failed" not in run:
            methods.discard(run["method"])
    wanted = {}
    for key, run in sweep.items():
        if run["method"] in methods:
            methods.remove(run["method"])
            wanted[key] = CacheRun(held_out, settings[key], full).contestant()
    everything = {contestant.method for contestant in contestants.values()}

    def held(beside: Collection[str]) -> dict[str, Any]:
        return keep_runs(
            CACHES, name, held_out, wanted, results=results, accept_other_code=accept_other_code, beside=beside
        )

    def taken(key: str) -> float | None:
        wanted.setdefault(key, CacheRun(held_out, settings[key], full).contestant())
        saved: float | None = held(everything)[key].get("saved")
        return saved

    for method in dict.fromkeys(run["method"] for run in sweep.values()):  # each is whole before the next begins
        of_method = {key: run for key, run in sweep.items() if run["method"] == method}
        for speedup in SPEEDUPS:
            chosen(of_method, speedup, taken)
    held(())  # what an earlier sweep has chosen goes


def _mag_ratios(evaluator: Evaluator) -> list[float] | None:
    """What MagCache is calibrated with, of uncached runs; None where it does not run."""
    try:
        return calibrate_magcache(
            evaluator.pipe, lambda: _generate(evaluator, _items(evaluator)[:1], []), evaluator.settings.steps
        )
    except Exception:  # noqa: BLE001 - whatever goes wrong inside a cache
        return None


if __name__ == "__main__":
    typer.run(main)
