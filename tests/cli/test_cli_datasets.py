"""`datasets`: list, add, remove."""

import json


def test_list_shows_what_is_ready_and_what_could_be(run, tiny_dataset):
    listed = json.loads(run("datasets", "list", "--json")[1])
    assert [(d["id"], d["ready"]) for d in listed] == [
        ("tiny", True), ("sketchbook", False), ("cats-vs-fish", False)
    ]  # fmt: skip
    assert listed[0]["classes"] == ["blue", "red"]
    assert listed[0]["counts"] == {"train": [12, 12], "val": [4, 4], "test": [4, 4]}
    text = run("datasets", "list")[1]
    assert "tiny" in text and "datasets prepare sketchbook" in text


def test_add_and_remove(run, tiny_zip, workspace):
    code, out, _ = run("datasets", "add", "My Colours!", tiny_zip, "--json")
    assert code == 0
    made = json.loads(out)
    assert (made["id"], made["total"]) == ("my-colours", 40)
    assert run("datasets", "remove", "my-colours", "--json")[:2] == (0, '{"removed": "my-colours"}\n')
    assert not (workspace.datasets / "my-colours").exists()


def test_what_was_left_out_is_said(run, tiny_files, make_zip):
    source = make_zip({**tiny_files, "train/red/fake.jpg": b"not a photo"})
    code, out, err = run("datasets", "add", "mine", source)
    assert code == 0
    assert "40 photos" in out and "fake.jpg" in err


def test_a_name_that_would_steer_the_terminal_does_not(run, tiny_files, make_zip):
    source = make_zip({name.replace("red", "r\x1b[31med"): data for name, data in tiny_files.items()})
    code, out, err = run("datasets", "add", "\x1b]0;owned\x07", source)
    assert "\x1b" not in out + err


def test_an_unsafe_zip_is_one_sentence(run, one_sentence, tiny_files, make_zip):
    code, out, err = run("datasets", "add", "evil", make_zip({**tiny_files, "../escape.jpg": b"x"}))
    assert (code, out) == (1, "")
    assert one_sentence(err)
