"""What a lab says about its machine, in lab.json of the workspace; without it, nothing is limited.  [no torch]"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from catfish_core.config import explain
from catfish_core.errors import ConfigError
from catfish_core.workspace import Workspace


class Settings(BaseModel):
    """The settings of a lab."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slots: dict[str, int] | None = Field(
        None,
        description="How many jobs a device works on at once, as in {'cpu': 2, 'cuda:0': 1}. One that is not named "
        "has one place where it is a graphics card, and one for every four cores where it is the processor.",
    )
    running_per_user: int | None = Field(None, ge=1, description="How many jobs of one person run at once.")
    waiting_per_user: int | None = Field(None, ge=1, description="How many jobs of one person may wait.")


def read(workspace: Workspace) -> Settings:
    """The settings of the lab; raises ConfigError where lab.json cannot be meant."""
    path = workspace.root / "lab.json"
    try:
        return Settings.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Settings()
    except ValidationError as error:
        raise ConfigError(f"lab.json: {explain(error)}", f"Mend or delete {path}.") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
