"""A trained network as two files: model.safetensors (tensors, never code) and model.json (how to use them)."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from catfish_core import catalog
from catfish_core.catalog import Arch, Statistics
from catfish_core.config import ModelConfig, RunConfig
from catfish_core.errors import ConfigError, ModelError
from catfish_core.models.build import build_empty
from catfish_core.workspace import atomic, write_text

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


class Description(BaseModel):
    """What model.json holds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1] = 1
    model: ModelConfig
    classes: tuple[str, ...] = Field(min_length=2)
    image_size: int = Field(ge=8, le=1024)
    resize: Literal["squash", "crop"]
    mean: Statistics
    std: Statistics

    @field_validator("model", mode="before")
    @classmethod
    def _without_frozen(cls, model: Any) -> Any:
        """How it was trained is not asked here; before configurations had parts, it was told nevertheless."""
        return {k: v for k, v in model.items() if k != "frozen"} if isinstance(model, dict) else model


@dataclass
class Saved:
    """A trained network in evaluation mode, and what it needs to see photos the way it learned to."""

    model: nn.Module
    arch: Arch
    classes: tuple[str, ...]
    image_size: int
    resize: Literal["squash", "crop"]
    mean: Statistics
    std: Statistics
    run_id: str
    device: torch.device


def save(
    folder: Path, model: nn.Module, config: RunConfig, classes: tuple[str, ...], mean: Statistics, std: Statistics
) -> None:
    """Write `model` and its description into `folder`, which is there, each file whole or not at all.

    Raises StorageError, also where the folder has gone: it must not come back with nothing but weights in it.
    """
    description = Description(
        model=config.model,
        classes=classes,
        image_size=config.data.image_size,
        resize=config.data.resize,
        mean=mean,
        std=std,
    )
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic(folder / WEIGHTS, make_folder=False) as temporary:
        write(tensors, temporary, {"format": "pt"})
    write_text(folder / DESCRIPTION, description.model_dump_json(indent=2) + "\n")


def write(tensors: dict[str, Tensor], path: Path, about: dict[str, str]) -> None:
    """Write `tensors` to `path`; raises OSError where the system refuses, which safetensors tells in words only."""
    try:
        save_file(tensors, path, metadata=about)
    except SafetensorError as error:
        if (code := re.search(r"\(os error (\d+)\)", str(error))) is not None:
            raise OSError(int(code[1]), os.strerror(int(code[1]))) from error
        raise


def load(folder: Path, device: str | torch.device = "cpu") -> Saved:
    """The network saved in `folder`, ready to predict; raises ModelError where there is none or it is damaged."""
    description = _description(folder)
    try:
        arch = catalog.arch(description.model.arch)
        model = build_empty(description.model, len(description.classes), description.image_size)
        model.load_state_dict(load_file(folder / WEIGHTS))
    except FileNotFoundError as error:
        raise _none(folder) from error
    except (SafetensorError, RuntimeError, OSError, ConfigError) as error:
        raise ModelError(
            f"The model of run {folder.name} is damaged.", "Train it again; nothing in it was executed."
        ) from error
    model.to(device).eval()
    return Saved(
        model=model,
        arch=arch,
        classes=description.classes,
        image_size=description.image_size,
        resize=description.resize,
        mean=description.mean,
        std=description.std,
        run_id=folder.name,
        device=torch.device(device),
    )


def _description(folder: Path) -> Description:
    try:
        content: Any = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        return Description.model_validate(content)
    except FileNotFoundError as error:
        raise _none(folder) from error
    except (OSError, ValueError, ValidationError, ConfigError) as error:
        raise ModelError(
            f"The description of the model of run {folder.name} cannot be read.", "Train it again."
        ) from error


def _none(folder: Path) -> ModelError:
    return ModelError(
        f"Run {folder.name} has no model yet.", "Wait for its first epoch to end, or choose another run."
    )
