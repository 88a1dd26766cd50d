"""Writes ``docs/families.md`` from the families that the code describes and what their tests gave.

Run it as ``python -m scripts.docs.make_families``, and with ``--run`` to have the tests run anew and
``docs/conformance.json`` written.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from ecad_automl.models.text_to_image import supported_pipelines
from ecad_automl.runtime import families
from ecad_automl.runtime.families import FAMILIES, Family
from scripts.docs.conformance import PROPERTIES, load, run

TARGET = Path(__file__).parents[2] / "docs" / "families.md"

_HEAD = """\
# Families of transformers

<!-- Written by `python -m scripts.docs.make_families`; a test compares. -->

What `apply_schedule` knows, and what tests it. A *slot* is one component of one block: what a schedule computes or
reuses in each step. Slots are named as diffusers names the modules; `a -> b` means that only `b` of the same block
reads what `a` gives, so that `a` is skipped where `b` is reused, and `2x` that a block calls the module twice, under
one bit.

- **From text**: pipelines that make images from text prompts alone. All commands take them (`search`, `bench`,
  `generate`, ...), with the defaults of their own `__call__`.
- **Schedule only**: `apply_schedule` runs them, called as always; the commands do not take them, since they need an
  image, class labels or the like, or make videos.
- **MACs**: of the pipelines named there they are counted from the config of the transformer alone, and of all others
  from the first step of one call (`layout_of_call`). Where a pipeline does not pad texts to one length, they are for
  the prompt of that call; the commands take one neutral prompt.
- **Cases**: small real pipelines in `tests/runtime/cases`, of which the second table tells what their tests gave.

| Transformer | Blocks: slots | From text | Schedule only | MACs | Adapter | Cases |
|---|---|---|---|---|---|---|
"""

_CONFORMANCE = """
## Conformance

What the tests marked `conformance` gave with Python {python}, PyTorch {torch} and diffusers {diffusers}: how many of
how many passed, written by `python -m scripts.docs.make_families --run` ([by case](conformance.json)). Slots
are those of a block of each list of blocks.

{properties}

| Transformer | Slots | Adapter | {columns} |
|---|---|---|{rules}|
{rows}
{notes}"""

_TAIL = """
## Others

A transformer of another class is looked through for lists of blocks with attentions and feed-forwards, known by their
classes and names (`ecad_automl/runtime/families/_generic.py`). `apply_schedule`, `slots_of` and `layout_of_call` work
with what is found, and a `NoAdapterWarning` says so. Its blocks are run whole, with only the reused slots left out, so
that whatever else their code does is done in every step; `handle.whole_blocks` lists them; `compile=True` is an error.
Compare with an uncached run before you rely on it: what lies beside the usual names is not cached, slots of a block may
be listed in another order than they are called in, and blocks that are left out or called twice are an error of the
first run. Those called generic in the table above are tests of this. UNets are refused.

Refused are also:

"""

# What notes of tests begin with where a property does not hold as such.
_INSTEAD = ("refused", "none")


def text() -> str:
    """The whole page."""
    results = load()
    rows = "".join(_row(family, list(_cases(results, family.transformer))) for family in FAMILIES.values())
    return f"{_HEAD}{rows}{_conformance(results)}{_TAIL}" + ";\n".join(_refusals()) + ".\n"


def _conformance(results: dict[str, Any]) -> str:
    """The section on what the tests gave."""
    notes: list[str] = []
    rows = []
    generic = {case["transformer"] for case in results["cases"].values()} - FAMILIES.keys()
    for transformer in (*FAMILIES, *sorted(generic)):
        cases = _cases(results, transformer).values()
        slots = " + ".join(str(len(names)) for names in next(iter(cases))["slots"].values())
        adapter = "generic" if transformer in generic else "own"
        parts = [*cases, results["families"].get(transformer, {"properties": {}})]
        found = [[part["properties"].get(name) for part in parts] for name in PROPERTIES]
        cells = [_status([result for result in row if result is not None], notes) for row in found]
        rows.append(" | ".join((transformer, slots, adapter, *cells)))
    return _CONFORMANCE.format(
        **results["versions"],
        properties="\n".join(f"- **{name}**: {what}." for name, what in PROPERTIES.items()),
        columns=" | ".join(PROPERTIES),
        rules="|".join(["---"] * len(PROPERTIES)),
        rows="\n".join(f"| {row} |" for row in rows),
        notes="".join(f"\n[{number}] {note}\n" for number, note in enumerate(notes, 1)),
    )


def _status(results: list[dict[str, Any]], notes: list[str]) -> str:
    """How often a property held, and where it is refused or there is none; notes are added to those of the page."""
    told: dict[str, None] = {}
    passed = of = 0
    for result in results:
        instead = False
        for note in result.get("notes", ()):
            if note not in notes:
                notes.append(note)
            kind = note.partition(":")[0]
            instead |= kind in _INSTEAD
            told[f", {kind} [{notes.index(note) + 1}]" if kind in _INSTEAD else f" [{notes.index(note) + 1}]"] = None
        # Where something is refused as it should be, there is nothing to count; what failed is told in any case.
        if not instead or result["passed"] < result["of"]:
            passed += result["passed"]
            of += result["of"]
    return ((f"{passed} of {of}" if of else "") + "".join(told)).removeprefix(", ") or "-"


def _refusals() -> list[str]:
    """What is refused and why."""
    arguments = [
        f"- for {family.transformer}, an argument `{argument}` of the transformer: {why}"
        for family in FAMILIES.values()
        for argument, why in family.refused_arguments.items()
    ]
    names = [f"- {name}: {why}" for family in FAMILIES.values() for name, why in family.refused_pipelines.items()]
    phrases = [
        f"- pipelines of {family.transformer} where, by `{_module(family)}`, {_summary(family)}"
        for family in FAMILIES.values()
        if family.why_not is not None
    ]
    return [*arguments, *names, *phrases]


def _row(family: Family, cases: list[str]) -> str:
    from_text = [name for name in family.pipelines if name in supported_pipelines()]
    others = [name for name in family.pipelines if name not in from_text]
    blocks = [
        f"`{group.path}`: "
        + ", ".join(
            f"{part.name}{f' -> {part.reader}' if part.reader else ''}{f' {part.calls}x' if part.calls > 1 else ''}"
            for part in group.components
        )
        for group in family.groups
    ]
    macs = ["config:", *family.counted] if family.counted else ["one call"]
    cells = [[family.transformer], blocks, from_text, others, macs, [f"`{_module(family)}`"], cases]
    return "| " + " | ".join("<br>".join(cell) or "-" for cell in cells) + " |\n"


def _module(family: Family) -> str:
    """The file that describes a family."""
    return next(
        f"families/{path.name}"
        for path in sorted(Path(families.__file__).parent.glob("[!_]*.py"))
        if import_module(f"{families.__name__}.{path.stem}").FAMILY is family
    )


def _cases(results: dict[str, Any], transformer: str) -> dict[str, Any]:
    """What came out for the cases of a transformer class, by name."""
    return {name: case for name, case in results["cases"].items() if case["transformer"] == transformer}


def _summary(family: Family) -> str:
    sentence = (family.why_not.__doc__ or "").splitlines()[0].rstrip(".")
    return sentence[0].lower() + sentence[1:]


def main() -> int:
    """Write the page, with ``--run`` of tests that are run anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", action="store_true", help="run the tests of conformance first")
    parser.add_argument("--only", help="with --run: pytest's -k, as for new cases; what is known of others stays")
    parser.add_argument("--workers", type=int, default=2, help="processes that run them")
    chosen = parser.parse_args()
    status = run(chosen.workers, chosen.only) if chosen.run else 0
    TARGET.write_text(text())
    return status


if __name__ == "__main__":
    sys.exit(main())
