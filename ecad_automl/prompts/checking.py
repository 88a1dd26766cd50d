"""Whether prompts can be searched on."""

from __future__ import annotations

from collections.abc import Sequence

from ecad_automl.errors import PromptError


def check_prompts(prompts: Sequence[str]) -> list[str]:
    """The prompts, stripped.

    Raises:
        PromptError: there are none, one is empty, or one occurs twice.
    """
    cleaned = [prompt.strip() for prompt in prompts]
    if not cleaned:
        raise PromptError("There are no prompts; at least one is needed, one per line of the prompt file.")
    seen: set[str] = set()
    for number, prompt in enumerate(cleaned, start=1):
        if not prompt:
            raise PromptError(f"Prompt {number} of {len(cleaned)} is empty; remove it or write a text.")
        if prompt in seen:
            raise PromptError(f"The prompt {prompt!r} occurs twice; prompts must differ, or it would count double.")
        seen.add(prompt)
    return cleaned
