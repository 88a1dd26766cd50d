from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ecad_automl.errors import UnsupportedModelError
from ecad_automl.models import load_model, model_layout


def test_a_folder_loads_with_usual_settings(tiny_pixart_folder: Path) -> None:
    model = load_model(str(tiny_pixart_folder))
    assert type(model.pipe).__name__ == "PixArtAlphaPipeline"
    assert model.settings.steps == 20
    assert (model.settings.height, model.settings.width) == (16, 16)
    assert model.revision.startswith("folder-")


def test_the_bundled_model_loads_by_name() -> None:
    model = load_model("shapes")
    assert (model.settings.height, model.settings.width, model.settings.steps) == (64, 64, 20)
    layout = model_layout(model)
    assert layout.components == ("attn1", "attn2", "ff")
    assert len(layout.blocks) == 8


def test_settings_change_only_where_given(tiny_pixart_folder: Path) -> None:
    model = load_model(str(tiny_pixart_folder))
    changed = model.with_settings(steps=7, guidance_scale=None)
    assert changed.settings.steps == 7
    assert changed.settings.guidance_scale == model.settings.guidance_scale


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not list what is mapped")
def test_weights_in_the_type_of_their_files_are_mapped_so_that_workers_of_a_machine_share_them(
    tiny_pixart_folder: Path,
) -> None:
    pipe = load_model(str(tiny_pixart_folder), dtype="float32", device="cpu").pipe
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(".safetensors")]
    mapped = [range(*(int(end, 16) for end in line[0].split("-"))) for line in lines]
    for part in (pipe.transformer, pipe.text_encoder, pipe.vae):
        weights = [parameter.data_ptr() for parameter in part.parameters()]
        assert all(any(weight in area for area in mapped) for weight in weights)


@pytest.mark.parametrize("name", ["no-such-model", "./no/such/folder", "/no/such/folder", "a/b/c"])
def test_an_unknown_model_is_refused_with_what_is_possible(name: str) -> None:
    with pytest.raises(UnsupportedModelError, match="neither bundled .*, nor an existing folder"):
        load_model(name)


def test_missing_weights_are_one_clear_sentence(tiny_pixart_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_pixart_folder, broken)
    for weights in (broken / "transformer").glob("*.safetensors"):
        weights.unlink()
    with pytest.raises(UnsupportedModelError, match="could not be loaded") as caught:
        load_model(str(broken))
    assert "\n" not in str(caught.value)


def test_damaged_weights_are_one_clear_sentence(tiny_pixart_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_pixart_folder, broken)
    (broken / "transformer" / "diffusion_pytorch_model.safetensors").write_bytes(b"not weights")
    with pytest.raises(UnsupportedModelError, match="could not be loaded"):
        load_model(str(broken))


def test_a_folder_that_is_no_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="could not be loaded"):
        load_model(str(tmp_path))


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="'int3'.*float32"):
        load_model("shapes", dtype="int3")


def test_other_weights_of_the_same_size_are_another_revision_but_notes_are_not(
    tiny_pixart_folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_pixart_folder, copy)
    before = load_model(str(copy)).revision
    (copy / "notes.txt").write_text("changed")
    assert load_model(str(copy)).revision == before
    weights = copy / "transformer" / "diffusion_pytorch_model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    assert load_model(str(copy)).revision != before


@pytest.mark.slow
def test_a_hub_id_loads_from_the_cache_without_a_network_and_is_known_by_its_commit(
    tiny_pixart_folder: Path, tmp_path: Path
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--someone--tiny"
    shutil.copytree(tiny_pixart_folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    code = "from ecad_automl.models import load_model; print(load_model('someone/tiny', device='cpu').revision)"
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    environment.pop("HF_HUB_CACHE", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == commit
