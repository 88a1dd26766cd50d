"""Writes ``docs/families.md`` from the families that the code describes and the cases that the tests run.

It lies here and not among the benchmarks since it measures nothing. Run it as ``python -m docs.make_families``.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from pathlib import Path

from ecad_automl.models.text_to_image import supported_pipelines
from ecad_automl.runtime.families import FAMILIES, Family, image, joint, other, video
from tests.runtime.cases import CASES

TARGET = Path(__file__).with_name("families.md")

_HEAD = """\
# Families of transformers

<!-- Written by `python -m docs.make_families`; a test compares. -->

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
- **Cases**: small real pipelines in `tests/runtime/cases`. For each, tests compare all-compute runs, which are
  bit-identical to the untouched pipeline, random schedules, which do what the definition says, and counted with
  predicted MACs.

| Transformer | Blocks: slots | From text | Schedule only | MACs | Adapter | Cases |
|---|---|---|---|---|---|---|
"""

_TAIL = """
## Others

A transformer of another class is looked through for lists of blocks with attentions and feed-forwards, known by their
classes and names (`ecad_automl/runtime/families/generic.py`). `apply_schedule`, `slots_of` and `layout_of_call` work
with what is found, and a `NoAdapterWarning` says so. Compare with an uncached run before you rely on it: what lies
beside the usual names is not cached, slots of a block may be listed in another order than they are called in, and
blocks that are left out or called twice are an error of the first run. Tests do this with PRX, Kandinsky 5, Sana Video
and Ovis-Image. UNets are refused.

Refused are also:

"""

_ADAPTERS = {
    "image": image.IMAGE_FAMILIES,
    "joint": joint.JOINT_FAMILIES,
    "other": other.OTHER_FAMILIES,
    "video": video.VIDEO_FAMILIES,
}


def text() -> str:
    """The whole page."""
    cases = _cases()
    rows = "".join(_row(family, cases[family.transformer]) for family in FAMILIES.values())
    refused = "".join(
        f"- for {family.transformer}, an argument `{argument}` of the transformer: {why};\n"
        for family in FAMILIES.values()
        for argument, why in family.refused_arguments.items()
    )
    phrases = "".join(
        f"- for {family.transformer}, by `{family.why_not.__name__}` in `families/refusals.py`: {_summary(family)};\n"
        for family in FAMILIES.values()
        if family.why_not.__doc__
    )
    return f"{_HEAD}{rows}{_TAIL}{refused}{phrases}".removesuffix(";\n") + ".\n"


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
    (adapter,) = (name for name, families in _ADAPTERS.items() if family in families)
    cells = [[family.transformer], blocks, from_text, others, macs, [f"`families/{adapter}.py`"], cases]
    return "| " + " | ".join("<br>".join(cell) or "-" for cell in cells) + " |\n"


def _cases() -> dict[str, list[str]]:
    """Names of the cases by transformer class."""
    found = defaultdict(list)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some diffusers classes warn of themselves
        for name, make in CASES.items():
            found[type(make().pipe.transformer).__name__].append(name)
    return found


def _summary(family: Family) -> str:
    sentence = (family.why_not.__doc__ or "").splitlines()[0].rstrip(".")
    return sentence[0].lower() + sentence[1:]


if __name__ == "__main__":
    TARGET.write_text(text())
