import os
import random
import statistics

import pytest
from PIL import Image, ImageChops, ImageStat

from catfish_core.data import library, sketchbook
from catfish_core.data.drawing import cats, fish, scenes, things
from catfish_core.data.drawing.look import choose
from catfish_core.data.drawing.pen import Pen


def test_the_same_number_is_the_same_drawing():
    assert sketchbook.draw("cat", 7).tobytes() == sketchbook.draw("cat", 7).tobytes()
    assert sketchbook.draw("cat", 7).tobytes() != sketchbook.draw("cat", 8).tobytes()
    assert sketchbook.draw("cat", 7).tobytes() != sketchbook.draw("fish", 7).tobytes()


@pytest.mark.parametrize("size", [48, 160, 224])
def test_any_size(size):
    image = sketchbook.draw("fish", 3, size)
    assert image.size == (size, size) and image.mode == "RGB"


def test_every_pose_place_and_thing_leaves_a_mark():
    def drawn(paint):
        image = Image.new("RGB", (120, 120))
        paint(Pen(image, random.Random(1), (40, 40, 40), 0.02))
        return image

    blank = drawn(lambda pen: None)
    for pose, _ in (*cats.POSES, *fish.POSES):
        assert ImageChops.difference(
            blank, drawn(lambda pen, pose=pose: pose(pen.at(0, 0, 0.8), choose(pen.rng)))
        ).getbbox()
    for place, _ in scenes.SCENES:
        assert ImageChops.difference(blank, drawn(place)).getbbox() == (0, 0, 120, 120)
    for thing in (*(thing for thing, _ in things.THINGS), things.person, things.hand):
        assert ImageChops.difference(blank, drawn(lambda pen, thing=thing: thing(pen, 0.1, 0.2))).getbbox()


def test_the_place_is_chosen_without_regard_to_the_animal():
    corners = [[sketchbook.draw(kind, seed, 64).getpixel((1, 1)) for seed in range(40)] for kind in ("cat", "fish")]
    same = sum(a == b for a, b in zip(*corners, strict=True))
    assert same > 20  # the rest is where an animal reaches into the corner


def test_colour_alone_does_not_tell():
    """The mean colour of cats and of fish differs by less than a quarter of what it varies by."""
    means = {k: [ImageStat.Stat(sketchbook.draw(k, s, 48)).mean for s in range(150)] for k in ("cat", "fish")}
    for channel in range(3):
        cat, fish_ = ([m[channel] for m in means[k]] for k in ("cat", "fish"))
        assert abs(statistics.mean(cat) - statistics.mean(fish_)) < 0.35 * statistics.stdev(cat)


def computed():
    """Seconds that this process and the helpers it waited for have computed."""
    return sum(os.times()[:4])


def test_the_book(workspace):
    start = computed()
    said = list(library.prepare(workspace, "sketchbook"))
    seconds = computed() - start
    made = library.info(workspace, "sketchbook")
    assert made.counts == {"train": (200, 200), "val": (50, 50), "test": (50, 50)} and not made.problems
    assert [event.done for event in said if event.unit == "pictures"][-1] == 600
    dataset = library.load(workspace, "sketchbook")
    contents = {path.read_bytes() for split in dataset.splits.values() for path in split.paths}
    assert len(contents) == 600, "no picture twice"
    assert seconds < 20  # of computing, however long others kept the cores: about six


def test_what_a_helper_leaves_undone_is_drawn_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(sketchbook, "COUNTS", {"train": 8, "val": 4, "test": 4})
    monkeypatch.setattr(sketchbook.sys, "executable", "/bin/false")
    list(sketchbook.write(tmp_path / "book", seed=4))
    assert len(list((tmp_path / "book").rglob("*.jpg"))) == 16
    assert not list((tmp_path / "book").rglob("*.part"))


def test_books_of_different_seeds_differ(tmp_path, monkeypatch):
    monkeypatch.setattr(sketchbook, "COUNTS", {"train": 2, "val": 2, "test": 2})
    for seed in (0, 1):
        list(sketchbook.write(tmp_path / str(seed), seed))
    a, b = ((tmp_path / str(seed) / "train" / "cat" / "cat-000.jpg").read_bytes() for seed in (0, 1))
    assert a != b
