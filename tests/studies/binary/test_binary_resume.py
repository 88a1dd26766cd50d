from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import optuna

from studies.binary import enqueue_bits, release_stale
from tests.studies.binary.conftest import BITS, objective, sampler

SCRIPT = textwrap.dedent(
    """
    import os, signal, sys
    import optuna
    from studies.binary import PackedBinarySampler, enqueue_bits, release_stale, suggest_bits
    from tests.studies.binary.conftest import BITS, objective, sampler

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="s", storage=sys.argv[1], sampler=sampler(), directions=["maximize", "minimize"], load_if_exists=True
    )
    release_stale(study)
    enqueue_bits(study, [0] * BITS)
    kill_at, until = int(sys.argv[2]), int(sys.argv[3])

    def killed(trial):
        values = objective(trial)
        if trial.number == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return values

    done = sum(trial.state.name == "COMPLETE" for trial in study.trials)
    study.optimize(killed, n_trials=until - done)
    assert not {"torch", "diffusers", "transformers"} & set(sys.modules)
    """
)


def run(storage: str, kill_at: int, until: int) -> int:
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, storage, str(kill_at), str(until)]
    return subprocess.run(command, env=environment, check=False).returncode


def told(study: optuna.Study) -> list[str]:
    return [trial.user_attrs["genome"] for trial in study.trials if trial.state.name == "COMPLETE"]


def test_a_killed_study_proposes_what_an_undisturbed_one_would_have_without_torch(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    # In the middle of a bred generation.
    assert run(storage, 23, 28) == -signal.SIGKILL
    assert run(storage, -1, 28) == 0
    study = optuna.load_study(study_name="s", storage=storage)
    assert [trial.state.name for trial in study.trials].count("FAIL") == 1
    assert not [trial for trial in study.trials if trial.state.name in ("RUNNING", "WAITING")]
    undisturbed = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler())
    enqueue_bits(undisturbed, [0] * BITS)
    undisturbed.optimize(objective, n_trials=28)
    assert told(study) == told(undisturbed)


def test_a_seed_that_was_cut_off_is_queued_again() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler())
    enqueue_bits(study, [0] * BITS)
    objective(study.ask())
    release_stale(study)
    enqueue_bits(study, [0] * BITS)
    study.optimize(objective, n_trials=3)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert [trial.user_attrs["genome"] for trial in study.trials].count(study.trials[0].user_attrs["genome"]) == 2


def test_trials_that_a_crash_left_running_are_told_and_their_genomes_tried_again() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler())
    cut_off = study.ask()
    objective(cut_off)
    assert release_stale(study) == 1
    study.optimize(objective, n_trials=3)
    first, again = study.trials[:2]
    assert first.state.name == "FAIL"
    assert first.user_attrs["genome"] == again.user_attrs["genome"]
    assert release_stale(study) == 0


def test_a_study_in_a_journal_goes_on(tmp_path: Path) -> None:
    for _ in range(2):
        # Another object, which has nothing in memory.
        backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal"))
        study = optuna.create_study(
            study_name="s",
            storage=optuna.storages.JournalStorage(backend),
            sampler=sampler(surrogate=False),
            directions=["maximize", "minimize"],
            load_if_exists=True,
        )
        study.optimize(objective, n_trials=12)
    whole = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler(surrogate=False))
    whole.optimize(objective, n_trials=24)
    assert told(study) == told(whole)
