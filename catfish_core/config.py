"""The frozen description of a run: checked at birth, the same after a trip through JSON.  [no torch]"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from catfish_core import augment, catalog, parts
from catfish_core.augment import AnyStep
from catfish_core.errors import ConfigError
from catfish_core.parts import PartsConfig

SCHEMA_VERSION: Literal[2] = 2


class Section(BaseModel):
    """What every part of the configuration shares: frozen, no unknown fields, no infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(Section):
    """Which photos, and how they reach the network."""

    dataset: str = Field("sketchbook", min_length=1, max_length=120, description="Id of the dataset.")
    version: str | None = Field(None, description="Fingerprint of the dataset; None takes it as it is at the start.")
    image_size: int = Field(64, ge=8, le=1024, description="Side of the square the network sees, in pixels.")
    resize: Literal["squash", "crop"] = Field(
        "squash",
        description="squash: the whole photo, pressed into the square; crop: the middle, undistorted.",
    )
    normalize: Literal["imagenet", "model", "none"] = Field(
        "model",
        description="Mean and spread the pixel values are brought to: ImageNet's, the model's own, or plain 0 to 1.",
    )


class ModelConfig(Section):
    """Which network, and what it knows already."""

    arch: str = Field("simple_cnn", description="Id of the architecture.")
    pretrained: bool = Field(False, description="Start from what it learned on ImageNet, with a new head.")

    @model_validator(mode="after")
    def _possible(self) -> ModelConfig:
        row = catalog.arch(self.arch)
        if self.pretrained and row.weights is None:
            raise ValueError(f"pretrained: {row.name} has no pretrained weights; switch pretrained off")
        return self


class AugmentConfig(Section):
    """The changes made at random to training photos, in this order."""

    steps: tuple[AnyStep, ...] = Field((), max_length=20)


class OptimizerConfig(Section):
    """How the weights follow the gradient."""

    name: Literal["sgd", "adagrad", "rmsprop", "adam", "adamw"] = Field("adam", description="The rule for a step.")
    lr: float = Field(1e-3, gt=0, le=100, description="Learning rate: how long a step is.")
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD and RMSprop only: how much of the last step goes on.")
    weight_decay: float = Field(0.0, ge=0, le=10, description="Pulls weights towards zero, against overfitting.")


class ScheduleConfig(Section):
    """How the learning rate changes on the way."""

    kind: Literal["constant", "step", "cosine", "one_cycle", "plateau"] = Field(
        "constant", description="constant, falling in steps, along a cosine, up and down once, or when stuck."
    )
    step_size: int = Field(10, ge=1, le=10_000, description="step: epochs between two falls.")
    gamma: float = Field(0.1, gt=0, lt=1, description="step and plateau: what the rate is multiplied by.")
    patience: int = Field(3, ge=0, le=1000, description="plateau: epochs without progress before it falls.")
    warmup: float = Field(0.3, gt=0, lt=1, description="one cycle: the part of the run in which the rate rises.")
    warmup_epochs: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="All but one cycle: epochs at the start in which the rate rises from almost nothing; 0.5 is half "
        "an epoch, 0 starts with the full rate.",
    )


class TrainingConfig(Section):
    """The loop: how long, how many at once, what counts as wrong."""

    epochs: int = Field(10, ge=1, le=10_000, description="How many times every training photo is seen.")
    batch_size: int = Field(64, ge=1, le=65_536, description="Photos per step.")
    loss: Literal["cross_entropy", "mse"] = Field(
        "cross_entropy",
        description="cross-entropy, or the squared error of the probabilities against one-hot.",
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="How much certainty is taken off the true answer.")
    mix: Literal["off", "mixup", "cutmix", "either"] = Field(
        "off",
        description="mixup: two photos blended, and their labels with them; cutmix: a piece of one in the other; "
        "either: one of them by chance, batch by batch.",
    )
    mix_alpha: float = Field(
        0.4,
        gt=0,
        le=10,
        description="mixup and cutmix: how thoroughly photos are mixed. The share of one is drawn from Beta(a, a): "
        "small values leave most as they are, 1 makes every share as likely.",
    )
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Keep a moving average of the weights, which lives on with this part of itself at every step "
        "(0.999 is usual), and measure and save that; 0 keeps none.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Same seed, same run.")
    patience: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Stop after this many epochs without a lower validation loss; None never.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="What computes.")


class ComputeConfig(Section):
    """How it is computed: what makes a run quicker or lets it fit into memory."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="Number format: auto takes what is quick on the device; fp32 is exact; bf16 and fp16 are half "
        "as long. fp16 needs an NVIDIA card.",
    )
    channels_last: Literal["auto", "on", "off"] = Field(
        "auto", description="Keep the colours of a pixel side by side in memory, which convolutions like."
    )
    compile: bool = Field(
        False, description="Let torch write code for this very network: a minute at the start, quicker steps after."
    )
    micro_batch: int | None = Field(
        None,
        ge=1,
        le=65_536,
        description="Compute batches in parts of at most this many photos and step once: less memory, same step "
        "(BatchNorm sees the parts). None takes whole batches until memory runs out.",
    )
    processes: Literal["auto"] | int = Field(
        "auto",
        description="How many processes share each batch: auto takes one for each NVIDIA card, and one where there "
        "is none or one.",
    )
    feature_cache: bool = Field(
        True, description="Frozen networks only: let the backbone see every photo once and train the head on that."
    )
    feature_views: int = Field(
        0,
        ge=0,
        le=1000,
        description="Frozen networks with augmentation: how many changed views of every photo are kept and taken in "
        "turn; 0 computes new ones in every epoch.",
    )

    @field_validator("processes", mode="before")
    @classmethod
    def _some(cls, processes: object) -> object:
        if processes == "auto" or (type(processes) is int and 1 <= processes <= 64):
            return processes
        raise ValueError(f"must be auto or a whole number from 1 to 64, not {str(processes)[:40]!r}")


class SweepConfig(Section):
    """A search for a learning rate: which rates are tried, and when it has seen enough."""

    init: float = Field(1e-6, gt=0, le=100, description="The rate of the first step.")
    final: float = Field(1.0, gt=0, le=100, description="The rate of the last step.")
    steps: int = Field(100, ge=2, le=10_000, description="How many steps are made on the way.")
    scale: Literal["exponential", "linear"] = Field(
        "exponential", description="Multiply the rate from step to step, or add to it."
    )
    smoothing: Literal["ewm", "rolling"] = Field(
        "ewm", description="ewm: the past fades exponentially, bias corrected; rolling: the mean of the last losses."
    )
    beta: float = Field(0.9, ge=0, lt=1, description="ewm: how much of the past stays at every step.")
    window: int = Field(5, ge=1, le=1000, description="rolling: how many losses are averaged.")
    divergence: float | None = Field(
        4.0, gt=1, le=1e6, description="Stop when the smoothed loss is this many times its lowest; None never."
    )
    seeds: int = Field(1, ge=1, le=10, description="How many sweeps are made, each with its own first weights.")
    val_every: int | None = Field(
        None, ge=1, le=10_000, description="Measure the validation loss every so many steps; None never."
    )
    probes: int = Field(3, ge=0, le=5, description="How many suggestions are tried out in short trainings.")
    probe_steps: int = Field(50, ge=1, le=10_000, description="How many steps such a training has.")

    @model_validator(mode="after")
    def _upwards(self) -> SweepConfig:
        if self.init >= self.final:
            raise ValueError(
                f"init: the first rate, {self.init:g}, must be lower than the final rate, {self.final:g}"
            )
        return self


class RunConfig(Section):
    """Everything a worker needs to train one model."""

    schema_version: Literal[2] = SCHEMA_VERSION
    name: str = Field("", max_length=120, description="What you call this run.")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    parts: PartsConfig = PartsConfig()
    augment: AugmentConfig = AugmentConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    training: TrainingConfig = TrainingConfig()
    compute: ComputeConfig = ComputeConfig()

    @field_validator("name")
    @classmethod
    def _one_line(cls, name: str) -> str:
        return " ".join(name.split())

    @model_validator(mode="after")
    def _fits(self) -> RunConfig:
        row = catalog.arch(self.model.arch)
        size = self.data.image_size
        if size < row.min_size:
            raise ValueError(f"data.image_size: {row.name} needs photos of at least {row.min_size} px, got {size}")
        if self.training.batch_size == 1 and row.batch_norm:
            raise ValueError(f"training.batch_size: {row.name} compares photos of a batch, so it needs at least 2")
        parts.check(self.parts, row, self.model.pretrained)
        if self.training.batch_size == 1 and self.training.mix != "off":
            raise ValueError("training.mix: photos are mixed with others of their batch, so it needs at least 2")
        if self.compute.processes not in ("auto", 1) and self.training.mix != "off":
            raise ValueError("training.mix: photos are mixed across their batch; set compute.processes to 1")
        warmup, epochs = self.schedule.warmup_epochs, self.training.epochs
        if self.schedule.kind != "one_cycle" and warmup >= epochs:
            raise ValueError(
                f"schedule.warmup_epochs: a warm-up of {warmup:g} must be shorter than the run of {epochs}"
            )
        augment.check(self.augment.steps, size)
        if self.compute.precision == "fp16" and self.training.device in ("cpu", "mps"):
            raise ValueError("compute.precision: fp16 needs an NVIDIA card; choose auto, fp32 or bf16")
        return self

    @property
    def title(self) -> str:
        """The given name, or one made of architecture and dataset."""
        return self.name or f"{catalog.arch(self.model.arch).name} on {self.data.dataset}"


def parse(data: Mapping[str, Any]) -> RunConfig:
    """A configuration from plain values; raises ConfigError that names field, value and what is allowed."""
    data = _migrated(data)
    version = data.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise ConfigError(
            f"This configuration has schema version {version!r}; this CatFish reads version {SCHEMA_VERSION}.",
            "Open it with the CatFish that wrote it, or write it anew.",
        )
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(explain(error)) from error


def parse_sweep(data: Mapping[str, Any]) -> SweepConfig:
    """The settings of a sweep from plain values; raises ConfigError that names field, value and what is allowed."""
    try:
        return SweepConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(explain(error)) from error


def _migrated(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """`data` as this version writes it: before version 2 a network was frozen or not, as a field of the model."""
    model = data.get("model", {})
    if data.get("schema_version", 1) != 1 or not isinstance(model, Mapping):
        return data
    data = {**data, "schema_version": SCHEMA_VERSION}
    if "frozen" in model and "parts" not in data:
        preset = {True: "head_only", False: "everything"}.get(model["frozen"], model["frozen"])
        data |= {"model": {k: v for k, v in model.items() if k != "frozen"}, "parts": {"preset": preset}}
    return data


def explain(error: ValidationError) -> str:
    """The first few faults of a pydantic error as one plain sentence each."""
    return " ".join(_sentence(fault) for fault in error.errors()[:3])


def _sentence(fault: Any) -> str:
    field = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{field} is not a field of a configuration."
    if fault["type"] == "value_error":
        text = str(fault["ctx"]["error"]).rstrip(".")
        return f"{text}." if not field or ":" in text else f"{field}: {text}."
    given = repr(fault["input"])
    message = fault["msg"][:1].lower() + fault["msg"][1:]
    return f"{field or 'The configuration'}: {given if len(given) < 80 else given[:77] + '…'} – {message}."


def load(path: Path) -> RunConfig:
    """The configuration in the JSON file `path`; raises ConfigError where there is none that can be meant."""
    return parse(_object(path))


def load_sweep(path: Path) -> SweepConfig:
    """The settings of a sweep in the JSON file `path`; raises ConfigError where there are none that can be meant."""
    return parse_sweep(_object(path))


def _object(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration at {path}.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path.name} cannot be read as JSON: {error}.") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path.name} holds no configuration: an object with sections is expected.")
    return data


def dump(config: RunConfig) -> str:
    """`config` as indented JSON; `parse(json.loads(dump(c))) == c`."""
    return config.model_dump_json(indent=2) + "\n"


def with_settings(config: RunConfig, settings: Sequence[str]) -> RunConfig:
    """`config` with `section.field=value` settings applied; values are read as JSON, else taken as text."""
    data = config.model_dump(mode="json")
    for setting in settings:
        path, equals, text = setting.partition("=")
        *sections, field = path.strip().split(".")
        if not equals or not field:
            raise ConfigError(f"“{setting}” is not a setting.", "Write section.field=value, as in training.epochs=5.")
        place: Any = data
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if not isinstance(place, dict) or field not in place:
            raise ConfigError(f"{path.strip()} is not a field of a configuration.", _fields(data, sections))
        try:
            place[field] = json.loads(text)
        except json.JSONDecodeError:
            place[field] = text
    return parse(data)


def _fields(data: dict[str, Any], sections: list[str]) -> str:
    place = data.get(sections[0], data) if sections else data
    names = place if isinstance(place, dict) else data
    return f"There are: {', '.join(names)}."
