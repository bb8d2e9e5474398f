"""How a lab shares the machine: `lab.json` in the workspace, or CATFISH_LAB=1 for shared mode.  [no torch]

Whoever may write this file decides who is an administrator; it is read anew whenever it changes.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from catfish_core.config import explain
from catfish_core.errors import ConfigError
from catfish_core.workspace import Workspace

LAB = "CATFISH_LAB"  # the environment variable that turns shared mode on, whatever the file says
MEND = "It lies in the CatFish folder: mend it. Until then nobody is let in."
_YES = ("1", "true", "yes", "on")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Oidc(_Part):
    """What people are who sign in with an outside provider; they are known by their e-mail address."""

    admins: tuple[str, ...] = Field((), description="E-mail addresses of administrators.")
    newcomers: Literal["viewer", "member"] | None = Field(
        "member",
        description="What somebody is who comes for the first time; None: only those with an account come in.",
    )
    domains: tuple[str, ...] = Field((), description="Only addresses that end in one of these; empty: any.")
    trust_unverified: bool = Field(
        False, description="Take an address that the provider does not vouch for (it sends no email_verified)."
    )

    @field_validator("admins", "domains")
    @classmethod
    def _lower(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.strip().lower().removeprefix("@") for name in names)


class Settings(_Part):
    """What `lab.json` says; without one, a single local person who may do everything."""

    shared: bool = Field(False, description="People sign in, and what they make is theirs.")
    visitors: bool = Field(False, description="Whoever comes without signing in may watch and predict.")
    session_hours: float = Field(
        12, gt=0, le=720, description="Hours without a visit until one has to sign in again."
    )
    hosts: tuple[str, ...] = Field((), description="Names under which the app is reached besides localhost.")
    https: bool = Field(False, description="It is reached by https only: cookies never travel without.")
    quota_gb: float | None = Field(None, gt=0, description="Disk a person may fill, in GB of 10^9 bytes; None: any.")
    slots: dict[str, int] | None = Field(
        None,
        description="How many jobs a device works on at once, as in {'cpu': 2, 'cuda:0': 1}. One that is not named "
        "has one place where it is a graphics card, and one for every four cores where it is the processor.",
    )
    running_per_user: int | None = Field(None, ge=1, description="Jobs of one person at once; None: any number.")
    waiting_per_user: int | None = Field(None, ge=1, description="Jobs of one person in the queue; None: any number.")
    oidc: Oidc = Field(Oidc(), description="What people are who sign in with an outside provider.")


def path(workspace: Workspace) -> Path:
    """The file that holds the settings."""
    return workspace.root / "lab.json"


def read(workspace: Workspace) -> Settings:
    """The settings as they are now; raises ConfigError for a file that cannot be meant, so that nobody is let in."""
    file = path(workspace)
    try:
        about = file.stat()
    except FileNotFoundError:
        settings = Settings()
    except OSError as error:
        raise ConfigError(f"{file.name} cannot be read: {error.strerror}.", MEND) from error
    else:
        settings = _parsed(str(file), about.st_mtime_ns, about.st_size)
    if os.environ.get(LAB, "").strip().lower() in _YES:
        settings = settings.model_copy(update={"shared": True})
    return settings


@functools.lru_cache(maxsize=8)
def _parsed(file: str, changed: int, size: int) -> Settings:
    name = Path(file).name  # whoever is not let in need not know where it lies
    try:
        data: Any = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{name} cannot be read as JSON: {error}.", MEND) from error
    if not isinstance(data, dict):
        raise ConfigError(f"{name} holds no settings.", 'An object is expected, as in {"shared": true}.')
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{name}: {explain(error)}", MEND) from error
