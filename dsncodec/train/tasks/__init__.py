"""The kinds of runs: what a recipe's ``task`` names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import SettingError
from ..recipe import Recipe, fill, read_table
from ..trainer import Task
from .denoising import DenoisingRecipe, DenoisingTask
from .enhancement import EnhancementRecipe, EnhancementTask
from .perceptual_decoder import LookRecipe, LookTask
from .perceptual_sr import PerceptualRecipe, PerceptualTask
from .restoration import RestorationRecipe, RestorationTask
from .sampling import SamplingRecipe, SamplingTask
from .style import StyleRecipe, StyleTask
from .super_resolution import SuperResolutionRecipe, SuperResolutionTask
from .visual import VisualRecipe, VisualTask

TASKS: dict[str, tuple[type[Recipe], type[Any]]] = {
    "sampling": (SamplingRecipe, SamplingTask),
    "restoration": (RestorationRecipe, RestorationTask),
    "visual": (VisualRecipe, VisualTask),
    "look": (LookRecipe, LookTask),
    "perceptual": (PerceptualRecipe, PerceptualTask),
    "style": (StyleRecipe, StyleTask),
    "super_resolution": (SuperResolutionRecipe, SuperResolutionTask),
    "denoising": (DenoisingRecipe, DenoisingTask),
    "enhancement": (EnhancementRecipe, EnhancementTask),
}


def read(path: str | Path, overrides: Mapping[str, str] = {}) -> Task:
    """The task a recipe file describes; ``overrides`` as ``recipe.read_table`` takes them.

    Raises:
        SettingError: no such file, not TOML, or a key or value that the task does not know.
    """
    table = read_table(path, overrides)
    name = table.get("task", "sampling")
    if name not in TASKS:
        raise SettingError(f"{path}: task {name!r}; one of {', '.join(TASKS)}")
    recipe, task = TASKS[name]
    made: Task = task(fill(recipe, table, str(path)))
    return made
