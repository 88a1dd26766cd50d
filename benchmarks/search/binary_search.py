"""PackedBinarySampler beside Optuna's own samplers, on four problems of two objectives over bits.

All samplers of a problem start from the same genomes and get as many evaluations. Each run is kept in a file of its
own, so that the script can be interrupted and goes on where it stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import typer
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.machine import RESULTS, machine

MARKS = (24, 50, 75, 100, 120)
INITIAL = 24
#: Of the instances of random problems. Others were looked at when the sampler's defaults were chosen.
INSTANCE = 0

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]
Genomes = Callable[[Bits], Floats]


@dataclass(frozen=True)
class Problem:
    """Two objectives over bits.

    Args:
        name: for tables.
        bits: length of the genome.
        directions: Optuna's names of them.
        evaluate: from ``(bits,)`` to both values.
        worst: values of both objectives that bound the hypervolume.
        ideal: values at which it is 1.
        exact: what is known without an evaluation, as for ``PackedBinarySampler``.
        shape: of the genome, if it is a grid.
        about: one sentence.
    """

    name: str
    bits: int
    directions: tuple[str, str]
    evaluate: Callable[[Bits], tuple[float, float]]
    worst: tuple[float, float]
    ideal: tuple[float, float]
    about: str
    exact: Mapping[int, Genomes] = field(default_factory=dict)
    shape: tuple[int, int] | None = None

    def hypervolume(self, values: Floats) -> float:
        """Of ``(n, 2)`` values, by pymoo: 0 at the worst, 1 at the ideal point."""
        from pymoo.indicators.hv import HV

        worst, ideal = np.array(self.worst), np.array(self.ideal)
        return float(HV(ref_point=np.ones(2))((values - ideal) / (worst - ideal)))


def digits() -> Problem:
    """Pixels for a k-nearest-neighbors classifier of scikit-learn's digits."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    images, labels = load_digits(return_X_y=True)
    commonest = float(np.bincount(labels).max() / len(labels))

    def evaluate(bits: Bits) -> tuple[float, float]:
        if not bits.any():
            return commonest, 0.0
        accuracy = cross_val_score(KNeighborsClassifier(3), images[:, bits], labels, cv=3).mean()
        return float(accuracy), float(bits.sum())

    about = "accuracy of k-nearest neighbors on scikit-learn's digits (3-fold) against the number of pixels, 8 x 8"
    return Problem(
        "digits",
        64,
        ("maximize", "minimize"),
        evaluate,
        (0.0, 64.0),
        (1.0, 0.0),
        about,
        {1: lambda bits: bits.sum(axis=1)},
        (8, 8),
    )


def knapsack(bits: int = 200, instance: int = INSTANCE) -> Problem:
    """Profit against weight."""
    rng = np.random.default_rng([1, instance])
    profit, weight = rng.integers(10, 101, (2, bits))

    def evaluate(taken: Bits) -> tuple[float, float]:
        return float(profit[taken].sum()), float(weight[taken].sum())

    about = "profit of random items against their weight: both are sums over bits, which suits a linear trend"
    return Problem(
        "knapsack",
        bits,
        ("maximize", "minimize"),
        evaluate,
        (0.0, float(weight.sum())),
        (float(profit.sum()), 0.0),
        about,
        {1: lambda taken: taken @ weight},
    )


def two_knapsacks(bits: int = 150, instance: int = INSTANCE) -> Problem:
    """Two profits under two capacities, after Zitzler and Thiele 1999: items are dropped until all knapsacks hold."""
    rng = np.random.default_rng([2, instance])
    profit, weight = rng.integers(10, 101, (2, 2, bits))
    capacity = weight.sum(axis=1) / 2
    first_dropped = np.argsort((profit / weight).max(axis=0), kind="stable")

    def evaluate(taken: Bits) -> tuple[float, float]:
        kept = taken.copy()
        for item in first_dropped:
            if (weight[:, kept].sum(axis=1) <= capacity).all():
                break
            kept[item] = False
        first, second = profit[:, kept].sum(axis=1)
        return float(first), float(second)

    about = "profits of random items in two knapsacks that hold half of all weight; what is too much is dropped first"
    ideal = tuple(float(value) for value in profit.sum(axis=1))
    return Problem("two knapsacks", bits, ("maximize", "maximize"), evaluate, (0.0, 0.0), (ideal[0], ideal[1]), about)


def rugged(bits: int = 100, instance: int = INSTANCE, neighbors: int = 4) -> Problem:
    """Two NK landscapes (Kauffman 1993): what a bit brings depends on four others, so no bit says much alone."""
    rng = np.random.default_rng([3, instance])
    tables = rng.random((2, bits, 2 ** (neighbors + 1)))
    others = np.array([rng.choice(np.delete(np.arange(bits), bit), neighbors, replace=False) for bit in range(bits)])
    places = np.concatenate([np.arange(bits)[:, None], others], axis=1)

    def evaluate(genome: Bits) -> tuple[float, float]:
        index = genome[places] @ (1 << np.arange(neighbors + 1))
        first, second = tables[:, np.arange(bits), index].mean(axis=1)
        return float(first), float(second)

    about = "two NK landscapes with K = 4: a bit's contribution depends on four random others; no feature says much"
    return Problem("rugged", bits, ("maximize", "maximize"), evaluate, (0.4, 0.4), (0.8, 0.8), about)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "digits": digits,
    "knapsack": knapsack,
    "two knapsacks": two_knapsacks,
    "rugged": rugged,
}


def first_genomes(problem: Problem, seed: int) -> Bits:
    """``(24, bits)`` genomes that all samplers start from: shares of ones spread from 0 to 1."""
    rng = np.random.default_rng([4, seed])
    shares = rng.permutation((np.arange(INITIAL) + rng.random(INITIAL)) / INITIAL)
    return rng.random((INITIAL, problem.bits)) < shares[:, None]


def packed(problem: Problem, seed: int, evaluations: int, **settings: Any) -> Floats:
    """PackedBinarySampler."""
    from studies.binary import PackedBinarySampler, enqueue_bits, suggest_bits

    sampler = PackedBinarySampler(problem.bits, shape=problem.shape, initial=INITIAL, seed=seed, **settings)
    study = optuna.create_study(directions=problem.directions, sampler=sampler)
    enqueue_bits(study, first_genomes(problem, seed))
    study.optimize(lambda trial: problem.evaluate(suggest_bits(trial)), n_trials=evaluations)
    return np.array([trial.values for trial in study.trials])


def packed_exact(problem: Problem, seed: int, evaluations: int, **settings: Any) -> Floats:
    """PackedBinarySampler that is told what is known exactly."""
    return packed(problem, seed, evaluations, exact=problem.exact, **settings)


def packed_plain(problem: Problem, seed: int, evaluations: int) -> Floats:
    """Its operators without a surrogate."""
    return packed(problem, seed, evaluations, surrogate=False)


def categorical(problem: Problem, sampler: optuna.samplers.BaseSampler, seed: int, evaluations: int) -> Floats:
    """A sampler of Optuna, each bit a categorical parameter."""
    study = optuna.create_study(directions=problem.directions, sampler=sampler)
    names = [f"bit {bit}" for bit in range(problem.bits)]
    first = first_genomes(problem, seed)
    for genome in first:
        study.enqueue_trial(dict(zip(names, genome.astype(int).tolist(), strict=True)))
    for _ in range(evaluations):
        trial = study.ask()
        if isinstance(sampler, optuna.samplers.NSGAIISampler):
            # Enqueued trials would not be of any generation otherwise.
            sampler.get_trial_generation(study, study.get_trials(deepcopy=False)[trial.number])
        bits = np.array([trial.suggest_categorical(name, (0, 1)) for name in names], dtype=np.bool_)
        study.tell(trial, problem.evaluate(bits))
    return np.array([trial.values for trial in study.trials])


def nsga2(problem: Problem, seed: int, evaluations: int) -> Floats:
    """Optuna's NSGA-II with a population as large as ours."""
    sampler = optuna.samplers.NSGAIISampler(population_size=INITIAL, seed=seed)
    return categorical(problem, sampler, seed, evaluations)


def tpe(problem: Problem, seed: int, evaluations: int) -> Floats:
    """Optuna's TPE."""
    return categorical(problem, optuna.samplers.TPESampler(seed=seed), seed, evaluations)


def random(problem: Problem, seed: int, evaluations: int) -> Floats:
    """Genomes drawn as the first ones are: of any share of ones."""
    rng = np.random.default_rng([5, seed])
    count = evaluations - INITIAL
    drawn = rng.random((count, problem.bits)) < rng.random((count, 1))
    return np.array([problem.evaluate(bits) for bits in (*first_genomes(problem, seed), *drawn)])


SAMPLERS: dict[str, Callable[[Problem, int, int], Floats]] = {
    "PackedBinarySampler, exact cost": packed_exact,
    "PackedBinarySampler": packed,
    "PackedBinarySampler, no surrogate": packed_plain,
    "Optuna NSGA-II": nsga2,
    "Optuna TPE": tpe,
    "random": random,
}


def main(
    evaluations: int = 120,
    seeds: int = 5,
    work: Path = Path("runs/binary_search"),
    results: Path = RESULTS,
) -> None:
    """Run what is not finished, then write the figures."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    work.mkdir(parents=True, exist_ok=True)
    cells = [
        (problem, sampler, seed)
        for seed in range(seeds)
        for problem in PROBLEMS
        for sampler in SAMPLERS
        if sampler != "PackedBinarySampler, exact cost" or PROBLEMS[problem]().exact
    ]
    for problem, sampler, seed in cells:
        kept = work / f"{problem}-{sampler}-{seed}-{evaluations}.json".replace(" ", "_").replace(",", "")
        if not kept.exists():
            start = time.process_time()
            values = SAMPLERS[sampler](PROBLEMS[problem](), seed, evaluations)
            seconds = time.process_time() - start
            kept.write_text(json.dumps({"values": values.tolist(), "cpu_seconds": round(seconds, 2)}))
            Console().print(f"finished: {problem}, {sampler}, seed {seed}, {seconds:.0f} s", highlight=False)
    _report(cells, work, evaluations, results)


def _report(cells: list[tuple[str, str, int]], work: Path, evaluations: int, results: Path) -> None:
    marks = [mark for mark in MARKS if mark < evaluations] + [evaluations]
    found: dict[str, dict[str, dict[str, list[list[float]]]]] = {}
    for name, sampler, seed in cells:
        kept = work / f"{name}-{sampler}-{seed}-{evaluations}.json".replace(" ", "_").replace(",", "")
        run = json.loads(kept.read_text())
        problem, values = PROBLEMS[name](), np.array(run["values"])
        row = found.setdefault(name, {}).setdefault(sampler, {"hypervolume": [], "cpu_seconds": []})
        row["hypervolume"].append([round(problem.hypervolume(values[:mark]), 5) for mark in marks])
        row["cpu_seconds"].append(run["cpu_seconds"])
    lines = []
    for name, rows in found.items():
        problem = PROBLEMS[name]()
        lines += [f"**{name}**, {problem.bits} bits: {problem.about}.", ""]
        lines += ["| sampler | " + " | ".join(map(str, marks)) + " | CPU s |", "|---" * (len(marks) + 2) + "|"]
        for sampler, row in rows.items():
            columns = np.array(row["hypervolume"]).T
            shown = [f"{np.median(c):.3f}" for c in columns[:-1]]
            last = columns[-1]
            shown.append(f"{np.median(last):.3f} ({last.min():.3f} to {last.max():.3f})")
            lines.append(f"| {sampler} | {' | '.join(shown)} | {np.median(row['cpu_seconds']):.0f} |")
        lines.append("")
    results.mkdir(parents=True, exist_ok=True)
    packages = ("optuna", "lightgbm", "scikit-learn", "numpy", "pymoo")
    summary = {
        "machine": machine(),
        "versions": {name: version(name) for name in packages},
        "evaluations": evaluations,
        "seeds": sorted({seed for _, _, seed in cells}),
        "marks": marks,
        "problems": found,
    }
    (results / "binary_search.json").write_text(json.dumps(summary, indent=2) + "\n")
    (results / "binary_search.md").write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    typer.run(main)
