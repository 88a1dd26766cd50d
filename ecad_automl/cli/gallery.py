"""``ecad-automl gallery``: ready schedules, by name."""

from __future__ import annotations

from typing import Annotated

import typer

from ecad_automl.api.terminal import say
from ecad_automl.cli.options import Json
from ecad_automl.cli.output import new_table, print_json, results
from ecad_automl.errors import OptionError
from ecad_automl.gallery import BUILTIN, Plan, builtin_plan, plans


def gallery(
    name: Annotated[
        str | None, typer.Argument(help="A model such as flux-dev, or a schedule such as flux-dev/fora-3 or ...@50.")
    ] = None,
    json_output: Json = False,
) -> None:
    """List ready schedules for well-known models, made by rule: applied by name, in a minute, and not measured."""
    chosen = _chosen(name)
    if json_output:
        document = [
            {
                "name": f"{BUILTIN}{plan.name}",
                "model": plan.model,
                "transformer": plan.transformer,
                "steps": plan.steps,
                "mask": [int(computed) for computed in plan.mask],
                "block_mac_speedup": plan.mac_speedup,
                "rule": plan.rule,
                "measured": False,
            }
            for plan in chosen
        ]
        print_json({"schema": "ecad-automl/gallery/1", "schedules": document})
        return
    console = results()
    table = new_table()
    table.add_column("schedule", no_wrap=True)
    table.add_column("steps", justify="right", no_wrap=True)
    table.add_column("of blocks", justify="right", no_wrap=True)
    table.add_column("computed steps", overflow="fold")
    for plan in chosen:
        mask = "".join("#" if computed else "." for computed in plan.mask)
        table.add_row(f"{BUILTIN}{plan.name}", str(plan.steps), f"{plan.mac_speedup:.2f}x", mask)
    console.print(table)
    if len(chosen) == 1:
        say(console, f"{chosen[0].model}: {chosen[0].rule}.")
    say(
        console,
        "By rule, not measured: how good they are on your prompts is not known; `ecad-automl quick` and `search` find "
        "better ones. NAME@30 is the same for 30 steps.",
    )
    use = f'apply_schedule(pipe, "{BUILTIN}{chosen[0].name}")'
    say(console, f"To apply one: {use}", keep=[use])


def _chosen(name: str | None) -> tuple[Plan, ...]:
    """All plans, those of a model, or the one of that name.

    Raises:
        OptionError: there is none.
    """
    if name is None:
        return plans()
    of_model = tuple(plan for plan in plans() if plan.name.startswith(f"{name.removeprefix(BUILTIN)}/"))
    if of_model:
        return of_model
    try:
        return (builtin_plan(name),)
    except OptionError:
        if "/" in name:
            raise
        models = ", ".join(dict.fromkeys(plan.name.partition("/")[0] for plan in plans()))
        raise OptionError(f"There are no ready schedules for {name!r}; there are some for {models}.") from None
