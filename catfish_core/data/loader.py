"""Photos as tensors: read from the cache, shuffled by seed, augmented, made ready meanwhile."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from catfish_core.data import photos
from catfish_core.data.augmenting import sample_seeds

Augment = Callable[[Tensor, NDArray[np.uint64]], Tensor]  # photos and a seed for each
Cached = Callable[[Sequence[int]], NDArray[np.uint8]]
Share = Callable[[Sequence[int]], Sequence[int]]


class Pictures:
    """Photos as squares of `size` pixels, uint8: read from `cached` where they are there, decoded where not.

    `cached` gives the photos at some indices as (n, size, size, 3): a split of data.pixels. `names` are for
    messages, where the files' own names say nothing.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        size: int,
        mode: Literal["squash", "crop"] = "squash",
        names: Sequence[str] | None = None,
        cached: Cached | None = None,
    ) -> None:
        self.paths, self.names = paths, names
        self.size = size
        self.mode: Literal["squash", "crop"] = mode
        self.cached = cached

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, indices: Sequence[int]) -> Tensor:
        """The photos at `indices`, uint8 (n, 3, size, size); raises PhotoError for one that cannot be decoded."""
        return torch.from_numpy((self.cached or self._decode)(indices)).permute(0, 3, 1, 2).contiguous()

    def _decode(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        pixels = np.empty((len(indices), self.size, self.size, 3), dtype=np.uint8)

        def one(place: int) -> None:
            index = indices[place]
            name = self.names[index] if self.names is not None else ""
            pixels[place] = np.asarray(photos.square(self.paths[index], self.size, self.mode, name))

        with ThreadPoolExecutor(min(8, os.cpu_count() or 2)) as pool:
            list(pool.map(one, range(len(indices))))
        return pixels


def as_tensor(image: Image.Image) -> Tensor:
    """An RGB picture as uint8 (3, H, W)."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def normalised(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 (…, 3, H, W) as float32, brought to 0..1, then by `mean` and `std` per channel."""
    middle, spread = (255 * torch.tensor(statistics).view(3, 1, 1) for statistics in (mean, std))
    return pixels.to(torch.float32).sub_(middle).mul_(1 / spread)


def mixed(*numbers: int) -> int:
    """One 63-bit seed from several numbers: neighbours in, strangers out; the same on every machine."""
    digest = hashlib.blake2b(",".join(map(str, numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class Batches:
    """Batches of (images, labels): float32 (B, 3, S, S) normalised, int64 (B,).

    With a `seed` every epoch has an order of its own, the same each time; without one the order is as given.
    `augment` changes each sample as a seed of its own says, which depends on seed, epoch and sample alone,
    so neither order nor batch size changes a draw. A lone last sample joins the batch before it, because
    BatchNorm cannot learn from one. The next batch is decoded while the current one is at work.

    Of several processes each says with `share` which samples of a batch are its own: images are those, labels
    still those of the whole batch, whose size decides how much a share weighs.
    """

    def __init__(
        self,
        pictures: Pictures,
        labels: Sequence[int],
        batch_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        augment: Augment | None = None,
        seed: int | None = None,
        share: Share = list,
    ) -> None:
        if len(pictures) != len(labels):
            raise ValueError(f"{len(pictures)} pictures need as many labels, got {len(labels)}")
        self.pictures = pictures
        self.labels = torch.tensor(list(labels), dtype=torch.int64)
        self.batch_size = batch_size
        self.mean, self.std = tuple(mean), tuple(std)
        self.augment, self.seed, self.share = augment, seed, share

    @property
    def samples(self) -> int:
        """How many photos an epoch has."""
        return len(self.labels)

    def __len__(self) -> int:
        full, rest = divmod(self.samples, self.batch_size)
        return full + (rest > 0) - (rest == 1 and full > 0 and self.batch_size > 1)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.epoch(0)

    def epoch(self, n: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of epoch `n`, counted from 0; raises PhotoError for a photo that no longer decodes."""
        pieces = self.pieces(n)
        ours = [self.share(piece) for piece in pieces]
        pool = ThreadPoolExecutor(1, thread_name_prefix="decode")
        try:
            coming = [pool.submit(self.pictures.read, ours[0])] if pieces else []
            for k, piece in enumerate(pieces):
                pixels = coming.pop().result()
                if k + 1 < len(pieces):
                    coming.append(pool.submit(self.pictures.read, ours[k + 1]))
                yield self._finished(pixels, ours[k], n), self.labels[piece]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def pieces(self, n: int) -> list[list[int]]:
        """The indices of each batch of epoch `n`."""
        if self.seed is None:
            order = list(range(self.samples))
        else:
            source = torch.Generator().manual_seed(mixed(self.seed, n))
            order = torch.randperm(self.samples, generator=source).tolist()
        starts = [k * self.batch_size for k in range(len(self))]
        ends = [*starts[1:], self.samples][: len(starts)]
        return [order[a:b] for a, b in zip(starts, ends, strict=True)]

    def _finished(self, pixels: Tensor, piece: Sequence[int], n: int) -> Tensor:
        """Augmented and normalised."""
        if self.augment is not None:
            pixels = self.augment(pixels, sample_seeds(mixed(self.seed or 0, n), piece))
        return normalised(pixels, self.mean, self.std)
