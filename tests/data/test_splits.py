import pytest

from catfish_core.data import splits
from catfish_core.data.splits import Place, assign, classes_of, layout
from catfish_core.errors import DatasetError


def placed(names):
    places, strays = layout(names)
    return {(names[p.index], p.split, p.label) for p in places}, [names[i] for i in strays]


@pytest.mark.parametrize("wrap", ["", "photos/", "outer/inner/"])
@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("Training", "validation", "testing"), ("TRAIN", "dev", "Test")],
)
def test_split_folders_under_any_usual_name(wrap, train, val, test):
    names = [
        f"{wrap}{train}/cat/1.jpg",
        f"{wrap}{train}/fish/2.jpg",
        f"{wrap}{val}/cat/3.jpg",
        f"{wrap}{test}/fish/deep/4.jpg",
    ]
    found, strays = placed(names)
    assert found == {
        (names[0], "train", "cat"),
        (names[1], "train", "fish"),
        (names[2], "val", "cat"),
        (names[3], "test", "fish"),
    }
    assert not strays


def test_class_folders_with_photos_at_any_depth():
    names = ["set/cat/1.jpg", "set/cat/more/2.jpg", "set/fish/3.jpg"]
    assert placed(names)[0] == {(names[0], None, "cat"), (names[1], None, "cat"), (names[2], None, "fish")}


def test_photos_in_no_class_are_strays():
    names = [
        "cover.jpg",
        "set/extra.jpg",
        "set/train/cat/1.jpg",
        "set/train/fish/2.jpg",
        "set/train/lost.jpg",
        "set/other/x/3.jpg",
    ]
    assert sorted(placed(names)[1]) == ["cover.jpg", "set/extra.jpg", "set/other/x/3.jpg", "set/train/lost.jpg"]


def test_a_class_may_be_called_train():
    names = ["train/1.jpg", "bus/2.jpg", "car/3.jpg"]
    assert {label for _, _, label in placed(names)[0]} == {"train", "bus", "car"}


def test_without_training_photos():
    with pytest.raises(DatasetError, match="none to train with"):
        layout(["val/cat/1.jpg", "test/cat/2.jpg"])


def test_without_folders():
    with pytest.raises(DatasetError, match="no photos in class folders"):
        layout(["1.jpg", "2.jpg"])


def places(**classes):
    return [Place(i, label, None) for i, label in enumerate(label for label, n in classes.items() for _ in range(n))]


@pytest.mark.parametrize("labels", [{"cat": 3}, {}])
def test_fewer_than_two_classes(labels):
    with pytest.raises(DatasetError) as caught:
        classes_of(places(**labels))
    assert "two or more" in caught.value.hint


def test_up_to_a_thousand_classes():
    many = {f"c{i}": 2 for i in range(1000)}
    assert len(classes_of(places(**many))) == 1000
    with pytest.raises(DatasetError, match="1,001 classes"):
        classes_of(places(**many, extra=2))


def test_a_class_name_without_end():
    with pytest.raises(DatasetError, match="longer than"):
        classes_of(places(**{"x" * 200: 2, "y": 2}))


def counted(found, label):
    return tuple(sum(p.split == split and p.label == label for p in found) for split in splits.SPLITS)


def test_seventy_fifteen_fifteen_in_every_class():
    given = places(cat=100, fish=20, eel=3, newt=2, owl=1)
    names = [f"{p.index:03}" for p in given]
    found = assign(given, names)
    assert counted(found, "cat") == (70, 15, 15)
    assert counted(found, "fish") == (14, 3, 3)
    assert counted(found, "eel") == (1, 1, 1)
    assert counted(found, "newt") == (1, 1, 0)
    assert counted(found, "owl") == (1, 0, 0)
    assert assign(given, names) == found
    assert assign(given, names, seed=1) != found


def test_the_order_of_the_files_changes_nothing():
    given = places(cat=30, fish=30)
    names = [f"{p.index:03}" for p in given]
    found = {names[p.index]: p.split for p in assign(given, names)}
    assert {names[p.index]: p.split for p in assign(given[::-1], names)} == found


@pytest.mark.parametrize("missing", ["val", "test"])
def test_a_missing_split_is_taken_from_train(missing):
    other = "test" if missing == "val" else "val"
    given = [Place(i, "cat" if i % 2 else "fish", "train" if i < 80 else other) for i in range(100)]
    found = assign(given, [str(i) for i in range(100)])
    assert sum(p.split == missing for p in found) == 12
    assert all(p.split == other for p in found[80:])


def test_given_splits_stay():
    given = [Place(0, "cat", "train"), Place(1, "cat", "val"), Place(2, "cat", "test")]
    assert assign(given, ["a", "b", "c"]) == given


def test_a_hundred_thousand_photos_in_a_thousand_classes_take_no_time():
    import time

    given = [Place(i, f"class {i % 1000}", None) for i in range(100_000)]
    start = time.perf_counter()
    assign(given, [f"{i}.jpg" for i in range(100_000)])
    assert time.perf_counter() - start < 3
