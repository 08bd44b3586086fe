"""Recipes: what a run trains on, with and for how long, read from TOML into frozen dataclasses."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from ..errors import SettingError


@dataclass(frozen=True)
class OptimSettings:
    """How the weights move. The budget ends at ``steps`` or ``minutes``, whichever is reached first.

    ``schedule``: "cosine" and "linear" warm up and fall over the whole budget; "halve" is the paper's; "constant" warms up
    over ``warmup_steps`` and stays, for runs that ``dsncodec train --anneal`` ends whenever that is wanted; "anneal" falls
    linearly from the full rate, without a warm-up.
    ``bf16`` multiplies in half precision where the processor has it; elsewhere training is in float32.
    ``channels_last`` lays the channels of a pixel together, the quicker way for narrow networks on a CPU; at 64 channels the
    other is a sixth quicker.
    ``threads`` is of torch on a CPU, 0 leaves it to torch; one is best where two runs share a machine.
    """

    optimizer: str = "adam"
    lr: float = 1e-3
    matrix_lr: float = 0.01
    tail_lr: float = 1.0
    schedule: str = "cosine"
    halve_every: int = 0
    warmup: float = 0.02
    warmup_steps: int = 300
    steps: int = 20000
    minutes: float = 1e9
    ema: float = 0.999
    bf16: bool = True
    channels_last: bool = True
    threads: int = 0
    seed: int = 1


@dataclass(frozen=True)
class Recipe:
    """What every run has. A kind of run adds its own sections: ``model``, ``data``, ``loss``."""

    name: str
    task: str = "sampling"
    start_from: str = ""
    optim: OptimSettings = field(default_factory=OptimSettings)


AnyRecipe = TypeVar("AnyRecipe")


def read_table(path: str | Path, overrides: Mapping[str, str] = {}) -> dict[str, Any]:
    """The TOML of a recipe. ``overrides`` maps "section.key" to a TOML value, as ``--set`` gives it.

    Raises:
        SettingError: the file is missing or not TOML, or an override is not.
    """
    try:
        table = tomllib.loads(Path(path).read_text("utf-8"))
        for key, value in overrides.items():
            section, _, name = key.rpartition(".")
            target = table.setdefault(section, {}) if section else table
            target[name] = tomllib.loads(f"v = {value}")["v"]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise SettingError(f"recipe {path}: {exc}") from exc
    return {"name": Path(path).stem, **table}


def fill(cls: type[AnyRecipe], table: Mapping[str, Any], where: str) -> AnyRecipe:
    """A recipe from its table.

    Raises:
        SettingError: a key is unknown or of a wrong type.
    """
    recipe: AnyRecipe = _fill(cls, table, where)
    return recipe


def _fill(cls: type[Any], table: Mapping[str, Any], where: str) -> Any:
    known, types = {f.name: f for f in fields(cls)}, get_type_hints(cls)
    if unknown := set(table) - set(known):
        raise SettingError(f"{where}: unknown key {sorted(unknown)}; allowed: {sorted(known)}")
    values: dict[str, Any] = {}
    for name, value in table.items():
        if is_dataclass(types[name]) and isinstance(value, dict):
            value = _fill(types[name], value, f"{where} [{name}]")
        elif isinstance(value, list):
            value = tuple(value)
        else:
            wanted = str(known[name].type)
            if wanted == "float" and type(value) is int:
                value = float(value)
            if type(value).__name__ != wanted:
                raise SettingError(f"{where}: {name} must be a {wanted}, not {value!r}")
        values[name] = value
    return cls(**values)
