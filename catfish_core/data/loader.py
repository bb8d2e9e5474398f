"""Photos as tensors: read from the cache, shuffled by seed, augmented, made ready while the network computes."""

from __future__ import annotations

import copy
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from catfish_core.data import photos
from catfish_core.data.augmenting import sample_seeds

Photos = NDArray[np.uint8]  # (n, size, size, 3)
Normal = NDArray[np.float32]
Indices = NDArray[np.int64]
Augment = Callable[[Photos, NDArray[np.uint64]], Photos]  # photos and a seed for each
Cached = Callable[[Indices], Photos | None]
Share = Callable[[Tensor], Tensor]
cv2.setNumThreads(1)  # photos are made ready beside a network that computes on every core
KEPT = 256 * 2**20  # bytes of normalised photos up to which a split stays in memory


class Pictures:
    """Photos as squares of `size` pixels, uint8: read from `cached` where they are there, decoded where not.

    `cached` gives the photos at some indices as (n, size, size, 3): a split of data.pixels; None where there are
    none yet. `names` are for messages, where the files' own names say nothing.
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

    def read(self, indices: Indices) -> Photos:
        """The photos at `indices`, uint8 (n, size, size, 3); raises PhotoError for one that cannot be decoded."""
        found = self.cached(indices) if self.cached else None
        return self._decode(indices) if found is None else found

    def _decode(self, indices: Indices) -> Photos:
        pixels = np.empty((len(indices), self.size, self.size, 3), dtype=np.uint8)

        def one(place: int) -> None:
            index = indices[place]
            name = self.names[index] if self.names is not None else ""
            pixels[place] = np.asarray(photos.square(self.paths[index], self.size, self.mode, name))

        with ThreadPoolExecutor(min(8, os.cpu_count() or 2)) as pool:
            list(pool.map(one, range(len(indices))))
        return pixels


class Normalise:
    """uint8 photos (n, S, S, 3) to float32 of the same shape: brought to 0..1, then by `mean` and `std` per channel.

    A look into a table of 256 values a channel, which needs no thread of torch's.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        middle, spread = (np.float32(255) * np.array(statistics, dtype=np.float32) for statistics in (mean, std))
        levels = np.arange(256, dtype=np.float32)[:, None]
        self._table = ((levels - middle) * (np.float32(1) / spread)).reshape(256, 1, 3)

    def __call__(self, pixels: Photos) -> Normal:
        """The photos as a network wants them, but for the order in memory."""
        if not len(pixels):
            return np.empty(pixels.shape, dtype=np.float32)
        rows = pixels.reshape(-1, pixels.shape[2], 3)  # (n·S, S, 3): one picture to OpenCV
        normal: Normal = cv2.LUT(rows, self._table).reshape(pixels.shape)  # type: ignore[assignment]
        return normal


def normalised(pixels: Photos, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 photos (n, S, S, 3) as float32 (n, 3, S, S), contiguous."""
    return torch.from_numpy(_planes(Normalise(mean, std)(pixels)))


def _planes(photos: Normal) -> Normal:
    """(n, S, S, 3) to (n, 3, S, S), a colour after the other in memory."""
    return np.ascontiguousarray(photos.transpose(0, 3, 1, 2))


class Kept:
    """A function of some of `count` photos, each asked for once where all values fit into so many bytes of memory."""

    def __init__(self, make: Callable[[Indices], Normal], count: int, budget: int) -> None:
        self._make, self._budget = make, budget
        self._there = np.zeros(count, dtype=bool)
        self._rows: Normal | None = None

    def all(self) -> Tensor | None:
        """Those of all photos, (count, …), once each has been asked for and where they fit; not to be changed."""
        return torch.from_numpy(self._rows) if self._rows is not None and self._there.all() else None

    def __call__(self, indices: Indices) -> Normal:
        """The values at `indices`, a copy."""
        if self._rows is not None and self._there[indices].all():
            return self._rows.take(indices, 0)
        made = self._make(indices)
        if made[:1].nbytes * len(self._there) <= self._budget:
            if self._rows is None:
                self._rows = np.empty((len(self._there), *made.shape[1:]), dtype=made.dtype)
            self._rows[indices], self._there[indices] = made, True
        return made


def mixed(*numbers: int) -> int:
    """One 63-bit seed from several numbers: neighbours in, strangers out; the same on every machine."""
    digest = hashlib.blake2b(",".join(map(str, numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class Batches:
    """Batches of (images, labels): float32 (B, 3, S, S) normalised, int64 (B,).

    With a `seed` every epoch has an order of its own, the same each time; without one the order is as given.
    `augment` changes each sample as a seed of its own says, which depends on seed, epoch and sample alone,
    so neither order nor batch size changes a draw. A lone last sample joins the batch before it, because
    BatchNorm cannot learn from one. While a batch is at work the next `ahead` are made ready, each by a thread that
    asks nothing of torch: its own threads are the network's. With 0 ahead, each is made when it is asked for.
    `channels_last` is the images' order in memory.

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
        channels_last: bool = False,
        ahead: int = 1,
        share: Share = lambda piece: piece,
    ) -> None:
        if len(pictures) != len(labels):
            raise ValueError(f"{len(pictures)} pictures need as many labels, got {len(labels)}")
        self.pictures = pictures
        self.labels = torch.tensor(list(labels), dtype=torch.int64)
        self.batch_size = batch_size
        self.augment, self.seed, self.share = augment, seed, share
        self.channels_last, self.ahead = channels_last, ahead
        self._normalise = Normalise(mean, std)
        self._plain = self._keeping(KEPT)

    def _keeping(self, budget: int) -> Kept:
        return Kept(lambda piece: self._laid_out(self.pictures.read(piece)), len(self.pictures), budget)

    def by(self, batch_size: int) -> Batches:
        """The same photos, so many in a batch."""
        others = copy.copy(self)
        others.batch_size = batch_size
        return others

    def once(self, batch_size: int) -> Batches:
        """The same photos for a single pass by one process, in their own order but for augmented ones.

        None of them stays in memory.
        """
        passing = self.by(batch_size)
        passing.share = lambda piece: piece
        passing.seed = None if self.augment is None else self.seed
        passing._plain = passing._keeping(0)
        return passing

    @property
    def samples(self) -> int:
        """How many photos an epoch has."""
        return len(self.labels)

    def __len__(self) -> int:
        full, rest = divmod(self.samples, self.batch_size)
        return full + (rest > 0) - (rest == 1 and full > 0 and self.batch_size > 1)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.epoch(0)

    def epoch(self, n: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of epoch `n`, counted from 0, from the batch `first` on: those before it are not even decoded.

        Raises PhotoError for a photo that no longer decodes.
        """
        pieces = self.pieces(n, first)
        if self.augment is None and (photos := self._plain.all()) is not None:
            for piece, labels in pieces:  # picked by the network's own threads: handed over it takes twice as long
                yield self._planes_first(self.picked(photos, piece)), labels
        elif self.ahead:
            yield from self._made_ahead(pieces, n)
        else:
            for piece, labels in pieces:
                yield self._images(self.share(piece), n), labels

    def _made_ahead(self, pieces: list[tuple[Tensor, Tensor]], n: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of `pieces` in epoch `n`, the next ones made ready while one is at work."""
        pool = ThreadPoolExecutor(self.ahead, thread_name_prefix="decode")
        coming: deque[Future[Tensor]] = deque()
        try:
            for k, (_, labels) in enumerate(pieces):
                for later, _ in pieces[k + len(coming) : k + 1 + self.ahead]:
                    coming.append(pool.submit(self._images, self.share(later), n))
                yield coming.popleft().result(), labels
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def pieces(self, n: int, first: int = 0) -> list[tuple[Tensor, Tensor]]:
        """Indices and labels of each batch of epoch `n` from the batch `first` on, int64 (B,) both."""
        order, labels = torch.arange(self.samples), self.labels
        if self.seed is not None:
            order = torch.randperm(self.samples, generator=torch.Generator().manual_seed(mixed(self.seed, n)))
            labels = labels[order]
        ends = [self.batch_size * k for k in range(1, len(self))]
        return list(zip(order.tensor_split(ends), labels.tensor_split(ends), strict=True))[first : len(self)]

    def picked(self, rows: Tensor, piece: Tensor) -> Tensor:
        """This process's share of `piece` from `rows`, which has one for each photo; not to be changed.

        Without a seed they are neighbours, and no copy is made: networks leave them alone as they evaluate.
        """
        ours = self.share(piece)
        return rows.narrow(0, int(ours[0]), len(ours)) if self.seed is None else rows.index_select(0, ours)

    def _images(self, piece: Tensor, n: int) -> Tensor:
        """The photos of `piece` in epoch `n`, augmented and normalised."""
        indices = piece.numpy()
        if self.augment is None:
            images = self._plain(indices)
        else:
            seeds = sample_seeds(mixed(self.seed or 0, n), indices)
            images = self._laid_out(self.augment(self.pictures.read(indices), seeds))
        return self._planes_first(torch.from_numpy(images))

    def _planes_first(self, images: Tensor) -> Tensor:
        """(B, 3, S, S), whatever the order in memory."""
        return images.permute(0, 3, 1, 2) if self.channels_last else images

    def _laid_out(self, pixels: Photos) -> Normal:
        """Normalised, in the order in memory that is wanted."""
        normal = self._normalise(pixels)
        return normal if self.channels_last else _planes(normal)
