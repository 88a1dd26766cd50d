from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from storage import writer_lock
from storage._check_study import ATTRIBUTES
from storage.check import check_database
from storage.records import pack_scores, unpack_scores
from studies import attributes

Run = Callable[..., tuple[int, str, str]]
Disk = Callable[..., Path]


def change(database: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount != 0, statement
        connection.commit()


def texts(database: Path) -> list[str]:
    return [finding.text for finding in check_database(database).findings]


def test_a_study_that_a_search_made_is_clean(database: Path, run_cli: Run) -> None:
    code, out, _ = run_cli("check", "--storage", database)
    assert code == 0
    assert re.fullmatch(r"Study 'tiny': \d+ trials, \d+ evaluations\.\nNothing is wrong\.\n", out)
    code, out, _ = run_cli("check", "--storage", database, "--json")
    document = json.loads(out)
    assert code == 0
    assert document["schema"] == "ecad-automl/check/1"
    assert document["clean"] is True
    assert document["findings"] == []
    assert document["studies"][0]["evaluations"] >= 12


def test_a_check_writes_nothing(database: Path, run_cli: Run) -> None:
    before = database.read_bytes()
    run_cli("check", "--storage", database)
    assert database.read_bytes() == before
    assert not Path(f"{database}.lock").exists()


A_TRIAL = "(select trial_id from trials where state = 'COMPLETE' order by number limit 1)"
ITS_GENOME = (
    f"(select json_extract(value_json, '$') from trial_user_attributes where trial_id = {A_TRIAL} and key = 'genome')"
)

TAMPERED = {
    "told reward": (
        f"update trial_values set value = value - 1 where objective = 0 and trial_id = {A_TRIAL}",
        r"Trial \d+ of the study 'tiny' has the reward .*, but its evaluation has",
    ),
    "told cost": (
        f"update trial_values set value = value * 2 where objective = 1 and trial_id = {A_TRIAL}",
        r"Trial \d+ .* has the cost .*, but its evaluation has",
    ),
    "a reward that is no number": (
        f"update trial_values set value = null, value_type = 'INF_NEG' where objective = 0 and trial_id = {A_TRIAL}",
        r"Trial \d+ .* has the reward None, but",
    ),
    "no record": (
        f"delete from ecad_evaluations where genome = {ITS_GENOME}",
        r"Trial \d+ .* is COMPLETE, but no sound evaluation of its genome is kept",
    ),
    "kept reward": (
        f"update ecad_evaluations set reward = reward - 1 where genome = {ITS_GENOME}",
        r"has the reward .*, but the mean of its scores is",
    ),
    "kept drop": (
        f"update ecad_evaluations set reward_drop = reward_drop + 1 where genome = {ITS_GENOME}",
        r"has the drop .*, but by its scores and the uncached ones it is",
    ),
    "kept cost": (
        f"update ecad_evaluations set gmacs = gmacs * 2 where genome = {ITS_GENOME}",
        r"has .* GMACs, but its schedule has",
    ),
    "text for a number": (
        f"update ecad_evaluations set seconds = 'long' where genome = {ITS_GENOME}",
        r"has 'long' for 'seconds', where a finite number is needed",
    ),
    "cut scores": (
        f"update ecad_evaluations set scores = substr(scores, 1, length(scores) - 2) where genome = {ITS_GENOME}",
        r"has scores that are damaged",
    ),
    "scores as text": (
        f"update ecad_evaluations set scores = 'none' where genome = {ITS_GENOME}",
        r"has scores that are damaged",
    ),
    "a longer genome": (
        f"update ecad_evaluations set genome = genome || '00' where genome = {ITS_GENOME}",
        r"has no genome of the study's slots and steps",
    ),
    "a genome of dead bits": (
        f"update ecad_evaluations set genome = '00' || substr(genome, 3) where genome = {ITS_GENOME}",
        r"has a genome that is not that of its effect",
    ),
    "another trial": (
        f"update ecad_evaluations set trial = 999 where genome = {ITS_GENOME}",
        r"is kept for trial 999, but there is no such trial",
    ),
    "stopped": (
        f"update ecad_evaluations set complete = 0 where genome = {ITS_GENOME}",
        r"is COMPLETE, but its evaluation is that of a part of the images",
    ),
    "a genome lost": (
        f"delete from trial_user_attributes where key = 'genome' and trial_id = {A_TRIAL}",
        r"Trial \d+ .* is COMPLETE, but has no genome",
    ),
    "a wrong attribute": (
        f"update trial_user_attributes set value_json = '77.5' where key = 'mac_speedup' and trial_id = {A_TRIAL}",
        r"has 77\.5 for 'mac_speedup', but by its evaluation it is",
    ),
    "an attribute that is no JSON": (
        f"update trial_user_attributes set value_json = '[[' where key = 'mac_speedup' and trial_id = {A_TRIAL}",
        r"has an attribute 'mac_speedup' that cannot be read",
    ),
    "a trial lost": (
        f"delete from trials where trial_id = {A_TRIAL}",
        r"Row \d+ of the table trial_\w+ belongs to a row of trials that is not there",
    ),
    "a generation lost": (
        "delete from ecad_generations where generation = 0",
        r"Generation 0 of the study 'tiny' is over, but has no figures",
    ),
    "the uncached run": (
        "delete from ecad_baselines where name = 'uncached'",
        r"The study 'tiny' has evaluations, but no uncached run",
    ),
    "the identity": (
        "update ecad_studies set identity = substr(identity, 1, 100)",
        r"The identity of the study 'tiny' is damaged",
    ),
    "Optuna's study": ("update studies set study_name = 'other'", r"Optuna's tables have no study 'tiny'"),
    "a table": ("drop table trial_values", r"The table trial_values is missing"),
    "a column": (
        "alter table ecad_evaluations drop column seconds",
        r"Our tables lack the column 'seconds'",
    ),
    "rows of no study": (
        "update ecad_baselines set study = 'gone' where name != 'uncached'",
        r"The table ecad_baselines has rows of 'gone', no study",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TAMPERED)
def test_what_does_not_agree_is_told_in_one_sentence(case: str, database: Path, run_cli: Run) -> None:
    statement, expected = TAMPERED[case]
    change(database, statement)
    code, out, _ = run_cli("check", "--storage", database, "--json")
    found = [finding["text"] for finding in json.loads(out)["findings"]]
    assert code == 1
    assert any(re.search(expected, text) for text in found), found
    assert all(text.endswith(".") and "\n" not in text for text in found)


def test_a_score_that_is_no_number_is_found(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        genome, data = connection.execute(
            "select genome, scores from ecad_evaluations where complete limit 1"
        ).fetchone()
        scores = unpack_scores(data)
        scores["fidelity"][0] = np.nan
        connection.execute("update ecad_evaluations set scores = ? where genome = ?", (pack_scores(scores), genome))
        connection.commit()
    assert any("a score of 'fidelity' that is no number" in text for text in texts(database))


def test_a_search_that_runs_is_told(database: Path) -> None:
    assert not check_database(database).searching
    with writer_lock(database):
        assert check_database(database).searching


def test_what_is_no_study_database_is_bad_input(tmp_path: Path, run_cli: Run) -> None:
    (tmp_path / "text.db").write_text("prompt,reward\n" * 1000)
    (tmp_path / "empty.db").touch()
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("create table t (a)")
    for name, expected in (
        ("text.db", "is no SQLite file"),
        ("empty.db", "is empty"),
        ("other.db", "holds no study of ecad-automl"),
        ("none.db", "There is no study database"),
    ):
        code, out, err = run_cli("check", "--storage", tmp_path / name)
        assert (code, out) == (2, ""), name
        assert expected in err
        assert err.count("\n") == 1


def test_flipped_bytes_are_found_or_do_no_harm_and_never_end_in_another_error(database: Path) -> None:
    """Of each page its header, the part that SQLite reads by, is overwritten."""
    sound = database.read_bytes()
    size = int.from_bytes(sound[16:18], "big")
    generator = np.random.default_rng(0)
    for page in generator.permutation(np.arange(1, len(sound) // size))[:25]:
        content = bytearray(sound)
        content[page * size : page * size + 8] = generator.bytes(8)
        database.write_bytes(content)
        found = texts(database)
        assert found, page
        assert all("\n" not in text for text in found)


def test_random_bytes_anywhere_never_end_in_another_error(database: Path) -> None:
    sound = database.read_bytes()
    generator = np.random.default_rng(1)
    for _ in range(40):
        content = bytearray(sound)
        for place in generator.integers(100, len(sound), 20):
            content[place] = int(generator.integers(256))
        database.write_bytes(content)
        assert all("\n" not in text for text in texts(database))


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_cut_off_file_is_found(database: Path, share: float) -> None:
    content = database.read_bytes()
    database.write_bytes(content[: int(len(content) * share) // 4096 * 4096])
    assert texts(database)


def test_other_commands_know_a_damaged_file_and_offer_its_backup(database: Path, run_cli: Run) -> None:
    backup = Path(shutil.copy(database, f"{database}.backup"))
    content = bytearray(database.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    database.write_bytes(content)
    for command in ("front", "export", "report", "plot"):
        code, _, err = run_cli(command, "--storage", database)
        assert code == 2
        assert re.search(
            r"is damaged; its backup of \S+ \S+ UTC is put in its place by `ecad-automl check --storage", err
        )
        assert err.count("\n") == 1
    code, out, _ = run_cli("check", "--storage", database)
    assert code == 1
    assert f"There is a backup, {backup}; --restore puts it in the place of the file." in out
    code, out, err = run_cli("check", "--storage", database, "--restore")
    assert code == 0, out
    assert f"what was there before is {database}.damaged" in err
    assert run_cli("front", "--storage", database)[0] == 0


def test_a_file_on_a_disk_that_cannot_be_written_is_checked(database: Path, small_disk: Disk, run_cli: Run) -> None:
    disk = small_disk(4096)
    shutil.copy(database, disk / "study.db")
    small_disk(4096, again=True, read_only=True)
    assert run_cli("check", "--storage", disk / "study.db")[0] == 0


def test_attributes_have_the_names_that_a_search_gives_them() -> None:
    assert set(ATTRIBUTES.values()) <= {value for value in vars(attributes).values() if isinstance(value, str)}
