"""A run's events as TensorBoard scalars: `tensorboard --logdir <workspace>/runs` compares runs side by side."""

from __future__ import annotations

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from catfish_core.events import BatchEnd, EpochEnd, Event, Tested


class TensorBoard:
    """Writes the scalars of each event into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._writer = SummaryWriter(str(folder))

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        if isinstance(event, BatchEnd):
            self._add(event.step, event, {"batch/loss": event.loss, "batch/learning_rate": event.lr})
        elif isinstance(event, EpochEnd):
            names = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "images_per_second")
            self._add(event.epoch, event, {f"epoch/{name}": getattr(event, name) for name in names})
            self._writer.flush()
        elif isinstance(event, Tested):
            self._add(0, event, {"test/loss": event.loss, "test/accuracy": event.accuracy})

    def _add(self, step: int, event: Event, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step, walltime=event.time)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
