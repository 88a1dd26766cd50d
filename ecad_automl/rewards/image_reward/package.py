"""ImageReward by its authors' package, in a process of an interpreter that has it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from ecad_automl.errors import RewardError
from ecad_automl.files.weights import Weights
from ecad_automl.rewards.preprocessing import Images, check_images, to_pil
from ecad_automl.rewards.protocol import Floats, check_scores

PYTHON_VARIABLE = "ECAD_AUTOML_IMAGE_REWARD_PYTHON"
"""Environment variable that names the interpreter."""

_WORKER = Path(__file__).with_name("worker.py")
_SHOWN = 1000
_PATIENCE = 10.0


class PackagedImageReward:
    """Scores with ``ImageReward.load(model).score``, one image a forward, as the package does.

    The process starts at once and lives until :meth:`close`, the end of a ``with`` block, or that of this object.

    Args:
        python: interpreter whose environment has the package; the default is what the environment variable
            ``ECAD_AUTOML_IMAGE_REWARD_PYTHON`` names, else the running one.
        model: ``ImageReward-v1.0``, which the package downloads, or a checkpoint's path.
        med_config: path of ``med_config.json``; None lets the package download it.
        device: where the package runs it; None leaves that to the package.

    Raises:
        RewardError: the interpreter cannot be started, or cannot import the package or load the model.
    """

    name = "image-reward-package"

    def __init__(
        self,
        python: str | Path | None = None,
        *,
        model: str | Path = "ImageReward-v1.0",
        med_config: str | Path | None = None,
        device: str | None = None,
    ) -> None:
        self._python = str(python or os.environ.get(PYTHON_VARIABLE) or sys.executable)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with the process
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the user names the interpreter
                [self._python, str(_WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                encoding="utf-8",
            )
        except OSError as error:
            self._log.close()
            raise RewardError(
                f"The interpreter {self._python!r} for the package image-reward cannot be started ({error}); name one "
                f"by python=... or {PYTHON_VARIABLE}."
            ) from error
        self._end = weakref.finalize(self, _end, self._process, self._log)
        try:
            digest = self._load(str(model), med_config, device)
        except BaseException:
            self.close()
            raise
        self.weights = (Weights(str(model), digest),)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; nothing can be scored afterwards."""
        self._end()

    def score(self, images: Images, prompts: Sequence[str]) -> Floats:
        """One reward per image, higher is better.

        Args:
            images: ``(n, 3, h, w)`` float in [0, 1], or ``n`` PIL images of any sizes; the package gets them as
                8-bit RGB.
            prompts: ``n`` prompts.

        Returns:
            ``(n,)`` float64.

        Raises:
            PromptError: prompts are not ``n`` strings.
            RewardError: images are no such tensor or PIL images, the package failed, or its process ended.
        """
        check_images(self.name, images, prompts)
        if not self._end.alive:
            raise RewardError("The process of the package image-reward was closed; make another PackagedImageReward.")
        pictures = [(*picture.size, base64.b64encode(picture.tobytes()).decode()) for picture in to_pil(images)]
        answer = self._ask("score", {"pairs": list(zip(prompts, pictures, strict=True))})
        if "error" in answer:
            raise RewardError(f"The package image-reward could not score ({answer['error']}).")
        return check_scores(self.name, np.asarray(answer["scores"], dtype=np.float64), len(images))

    def _load(self, model: str, med_config: str | Path | None, device: str | None) -> str:
        config = None if med_config is None else str(med_config)
        answer = self._ask("load its model", {"model": model, "med_config": config, "device": device})
        if "error" in answer:
            raise RewardError(
                f"The package image-reward could not be loaded by {self._python} ({answer['error']}); name an "
                f"interpreter whose environment holds it by python=... or {PYTHON_VARIABLE}, or use ImageReward, which "
                "needs no package."
            )
        return str(answer["digest"])

    def _ask(self, what: str, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request; if the process ends meanwhile, an error that shows what it last wrote."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_PATIENCE)
            status = self._process.poll()  # None: it lives, but does not speak this language
            self._log.seek(0)
            last = " ".join(self._log.read().decode(errors="replace").split())[-_SHOWN:]
            self.close()
            raise RewardError(
                f"The process of the package image-reward broke off when it was to {what} (exit status {status}; it "
                f"last wrote: {last or 'nothing'}); start {self._python} and try `import ImageReward` there."
            ) from error
        except BaseException:  # an answer that nobody waits for would be taken for that of the next request
            self.close()
            raise
        return answer


def _end(process: subprocess.Popen[str], log: IO[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what a dead process did not read cannot be written
                pipe.close()
    try:
        process.wait(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    log.close()
