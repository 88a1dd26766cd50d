"""Prompt sets: what images are made of, where the prompts came from, and how they are split."""

from ecad_automl.prompts.prompt_set import PromptSet
from ecad_automl.prompts.published import published_names
from ecad_automl.prompts.reading import read_prompt_set
from ecad_automl.prompts.splitting import PromptSplit, SplitRecord, check_split, split_prompts

__all__ = [
    "PromptSet",
    "PromptSplit",
    "SplitRecord",
    "check_split",
    "published_names",
    "read_prompt_set",
    "split_prompts",
]
