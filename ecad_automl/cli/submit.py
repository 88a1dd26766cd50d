"""``ecad-automl report --submit``: confirmed schedules, and the text of a pull request with them to the gallery."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ecad_automl.api.export import export_run
from ecad_automl.api.terminal import say
from ecad_automl.cli.front import confirmed_of
from ecad_automl.cli.output import print_json, results
from ecad_automl.errors import FileError, StudyError
from ecad_automl.files.json_file import write_texts
from ecad_automl.schedules.schedule_file import Measured, ScheduleFile, load_schedule
from ecad_automl.sharing.submission import FOLDER, folder_of, lacks, pull_request
from ecad_automl.views.study import StudyView

_TEXT = "pull-request.md"


def submit(study: StudyView, out: Path, *, json_output: bool = False) -> None:
    """Write what survived on unseen prompts, and the text of a pull request.

    Args:
        study: a confirmed one.
        out: a folder, made where there is none.
        json_output: whether to print JSON.

    Raises:
        StudyError: the study was not confirmed, or what is measured is too little to be of use to others.
        FileError: there is a file of that name already.
    """
    confirmed, identity = confirmed_of(study), study.identity
    chosen = [run for run in confirmed.survivors if run.mac_speedup > 1 and run.genome is not None]
    if not chosen:
        raise StudyError(
            f"No schedule of the front of {study.name!r} survived on unseen prompts; search on, then confirm again."
        )
    searched = {run.genome: run for run in study.runs}
    folder = folder_of(str(identity["model"]))
    files: dict[str, ScheduleFile] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for run in chosen:
            path = export_run(study, searched[run.genome], Path(scratch))
            files[f"{folder}/{path.name}"] = load_schedule(path)
        faults = {fault: name for name, file in reversed(files.items()) for fault in lacks(file)}
        if faults:
            told = "; ".join(faults)
            raise StudyError(f"{next(iter(faults.values()))} cannot stand in the gallery: {told}.")
        taken = [out / name for name in files if (out / name).exists()]
        if taken:
            raise FileError(f"There is a {taken[0]} already; give another folder, or move it away.")
        texts = {name: (Path(scratch) / Path(name).name).read_text(encoding="utf-8") for name in files}
    text = pull_request(files, _shorter(study), _asked(study))
    write_texts(out, {**texts, _TEXT: text}, "schedules and the text with them")
    if json_output:
        print_json(
            {
                "schema": "ecad-automl/submission/1",
                "study": study.name,
                "schedules": [out / name for name in files],
                "text": out / _TEXT,
            }
        )
        return
    for name in files:
        say(results(), str(out / name), keep=[out / name])
    say(results(), str(out / _TEXT), keep=[out / _TEXT])
    say(
        results(),
        f"To send them: copy {out / FOLDER} into a clone of the project, fill in the boxes of {_TEXT}, and open a pull "
        "request with that text; the README.md of that folder there says how it is judged.",
        keep=[out / FOLDER],
    )


def _shorter(study: StudyView) -> list[tuple[str, float, Measured]]:
    """Runs of fewer steps on the same unseen prompts."""
    return [
        (
            run.origin,
            run.mac_speedup,
            Measured(value=seen.difference, low=seen.difference_interval[0], high=seen.difference_interval[1]),
        )
        for run in study.shorter
        if (seen := run.confirmed) is not None
    ]


def _asked(study: StudyView) -> dict[str, str]:
    confirmed, identity = confirmed_of(study), study.identity
    return {
        "reward": study.reward_name,
        "searched on": f"{len(study.prompts)} prompts ({identity['prompts_hash']}), {len(identity['seeds'])} of each",
        "schedules evaluated": str(len(study.runs)),
        "confirmed on": f"{confirmed.prompts} other prompts, {confirmed.seeds} of each",
    }
