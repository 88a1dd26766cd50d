"""What a study was searched with, as short texts."""

from __future__ import annotations

from ecad_automl.views.run import Kind
from ecad_automl.views.study import StudyView


def study_facts(study: StudyView) -> dict[str, str]:
    """Label to text; what follows a line break is an aside."""
    identity, generation, layout = study.identity, study.identity["generation"], study.layout
    stopped, seeds = len(study.of_kind(Kind.STOPPED)), len(identity["seeds"])
    dates = sorted(run.created for run in study.runs)
    first, last = dates[0][:10], dates[-1][:10]
    return {
        "Model": f"{identity['model']}\n{identity['revision']}",
        "Transformer": f"{layout.transformer}\n{len(layout.blocks)} blocks, {len(layout)} slots",
        "Scheduler": f"{identity['scheduler']}\n{study.steps} steps",
        "Images": f"{generation['width']} x {generation['height']} px\nguidance {generation['guidance_scale']:g}",
        "Precision": str(identity["dtype"]),
        "Prompts": f"{len(study.prompts)}\n{seeds} seed{'s' * (seeds != 1)} each",
        "Reward": study.reward_name,
        "Cost": f"{study.cost_name}\n{study.uncached.cost:.4g} {study.cost_unit} uncached",
        **({"Constraints": ", ".join(map(str, identity["constraints"]))} if "constraints" in identity else {}),
        "Evaluated": f"{len(study.runs)} schedules" + (f"\n{stopped} of them stopped early" if stopped else ""),
        "Searched on": first if first == last else f"{first} to {last}",
    }
