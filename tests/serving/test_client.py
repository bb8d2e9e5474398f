"""The way of a photo: a real service on loopback, a small model, good photos and bad ones."""

import io
import json
import os
import signal
import threading
import time

import pytest
from PIL import Image

from catfish_core import runs
from catfish_core.augment import recommended
from catfish_core.config import ModelConfig, RunConfig
from catfish_core.errors import ConfigError, ModelError, PhotoError, RunError, ServiceError
from catfish_core.serving import address, client, connection

CLASSES = ("blue", "re/d 🐟 <b>")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    from catfish_core.workspace import Workspace

    return Workspace(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def service(workspace):
    """The workspace with a service that the tests of this module share; whatever runs at the end is ended."""
    yield workspace
    end_service(workspace)


def end(pid, number=signal.SIGKILL):
    """Send `number` to a service this process started, and see it gone."""
    os.kill(pid, number)
    gone(pid)


def gone(pid, seconds=30):
    """Wait until there is no such process."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError("it is still there")


def end_service(workspace):
    """End the service of the workspace, if one lives: a number in a file alone may be another process by now."""
    if (found := connection._living(workspace)) is not None:
        found[1].close()
        end(found[0].pid, signal.SIGTERM)


def model_of(workspace, arch="simple_cnn", **more):
    """A run with an untrained network of that architecture."""
    import torch

    from catfish_core.models import build, saved

    config = RunConfig(name=arch, model=ModelConfig(arch=arch), **more)
    made = runs.create(workspace, config)
    torch.manual_seed(0)
    model = build.build(config.model, len(CLASSES), config.data.image_size, workspace)
    with torch.no_grad():  # every channel speaks for every class, so that untrained networks too have heatmaps
        for name, parameter in model.named_parameters():
            if name.startswith("classifier"):
                parameter.abs_()
    saved.save(made.path, model, config, CLASSES, (0.5,) * 3, (0.5,) * 3)
    return made


@pytest.fixture(scope="module")
def cnn(service):
    return model_of(service).id


def size(data):
    return Image.open(io.BytesIO(data)).size


def test_photos_are_answered_in_their_order_with_heatmaps(service, cnn, picture, encode):
    wide = encode(picture(size=(1000, 500)))
    small = encode(picture((60, 80, 200), (40, 50)), "PNG")
    first, second = client.predict(service, cnn, [("wide.jpg", wide), ("small.png", small)])
    assert (first.name, second.name) == ("wide.jpg", "small.png")
    for answer, shown in ((first, (720, 360)), (second, (40, 50))):
        assert answer.error is None
        assert tuple(answer.probabilities) == CLASSES
        assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert answer.label == max(answer.probabilities, key=answer.probabilities.get)
        assert size(answer.photo_jpeg) == size(answer.heatmap_png) == shown
        assert (answer.layer, answer.method, answer.target) == ("conv3", "grad-cam", answer.label)


def test_a_photo_is_answered_the_same_alone_and_in_company(service, cnn, picture, encode):
    photos = [(f"{n}.png", encode(picture(seed=n, size=(64, 64)), "PNG")) for n in range(client.AT_ONCE + 3)]
    together = client.predict(service, cnn, photos, heatmaps=False)
    assert [a.name for a in together] == [name for name, _ in photos]
    (alone,) = client.predict(service, cnn, photos[-1:], heatmaps=False)
    assert alone.probabilities == pytest.approx(together[-1].probabilities, abs=1e-5)
    assert alone.heatmap_png is None


def test_a_bad_photo_among_good_ones_has_its_sentence(service, cnn, photo, picture, encode):
    huge = encode(Image.new("1", (12_000, 9_000)), "PNG")
    bad = {"fake.jpg": b"not a photo", "empty.png": b"", "half.jpg": photo[:300], "huge.png": huge}
    answers = client.predict(service, cnn, [("good.jpg", photo), *bad.items(), ("also good.jpg", photo)])
    assert [answer.error is None for answer in answers] == [True, *[False] * len(bad), True]
    for answer in answers[1:-1]:
        assert answer.name in answer.error
        assert (answer.label, answer.probabilities, answer.photo_jpeg) == ("", {}, b"")
    assert answers[0].probabilities == pytest.approx(answers[-1].probabilities)


def test_bad_photos_alone_are_answers_too(service, cnn):
    (answer,) = client.predict(service, cnn, [("fake.jpg", b"x")])
    assert answer.error
    assert client.predict(service, cnn, []) == []


def test_a_photo_too_large_to_send_is_an_answer(service, cnn, photo, monkeypatch):
    monkeypatch.setattr(client, "MAX_PHOTO", len(photo))
    big, good = client.predict(service, cnn, [("big.jpg", photo + b"0"), ("good.jpg", photo)])
    assert "big.jpg" in big.error and good.error is None


def test_layer_and_class_can_be_chosen(service, cnn, photo):
    offered = client.layers(service, cnn)
    assert {"conv1", "conv2", "conv3"} <= set(offered)
    seen = {}
    for layer in ("conv1", "conv3"):
        for target in (0, 1):
            (answer,) = client.predict(service, cnn, [("a.jpg", photo)], layer=layer, target=target)
            assert (answer.layer, answer.target) == (layer, CLASSES[target])
            seen[layer, target] = answer.heatmap_png
    assert len(set(seen.values())) > 2


@pytest.mark.parametrize("wish", [{"layer": "nowhere"}, {"target": 2}, {"target": -1}])
def test_a_layer_or_class_that_is_not_there_is_a_sentence(service, cnn, photo, wish):
    with pytest.raises(ModelError):
        client.predict(service, cnn, [("a.jpg", photo)], **wish)


def test_a_network_without_convolutions_shows_input_gradients(service, photo):
    net = model_of(service, "simple_net").id
    (answer,) = client.predict(service, net, [("a.jpg", photo)])
    assert answer.method == "input-gradients"
    assert size(answer.heatmap_png) == (48, 32)


def test_where_nothing_speaks_for_a_class_there_is_no_heatmap(service, photo):
    import torch

    from catfish_core.models import saved

    run = model_of(service)
    silent = saved.load(run.path).model
    with torch.no_grad():
        for parameter in silent.classifier.parameters():
            parameter.zero_()
    saved.save(run.path, silent, run.config(), CLASSES, (0.5,) * 3, (0.5,) * 3)
    (answer,) = client.predict(service, run.id, [("a.jpg", photo)])
    assert answer.heatmap_png is None and answer.method == "grad-cam" and answer.photo_jpeg


def test_the_heatmap_of_a_cropped_photo_lies_where_the_network_looked(service, encode, picture):
    middle = model_of(service, data={"resize": "crop"}).id
    wide = encode(picture(size=(300, 100), seed=4))
    (answer,) = client.predict(service, middle, [("wide.jpg", wide)])
    opacity = Image.open(io.BytesIO(answer.heatmap_png)).getchannel("A")
    assert [opacity.getpixel((x, 50)) for x in (5, 94, 105, 150, 195, 206, 295)] == [0, 0, 255, 255, 255, 0, 0]


@pytest.mark.parametrize("name", ["nope", "../../etc", "", "20200101-000000-gone-123456"])
def test_a_run_that_is_not_there_is_a_sentence(service, name, photo):
    with pytest.raises(RunError, match="no run called"):
        client.predict(service, name, [("a.jpg", photo)])


def test_a_run_without_a_model_is_a_sentence(service, photo):
    with pytest.raises(ModelError, match="no model yet"):
        client.predict(service, runs.create(service, RunConfig()).id, [("a.jpg", photo)])


def test_a_model_that_is_a_pickle_is_refused(service, photo, tmp_path):
    import pickle

    made = model_of(service)
    made.model_path.write_bytes(pickle.dumps(print))
    with pytest.raises(ModelError):
        client.predict(service, made.id, [("a.jpg", photo)])


def test_a_run_trained_on_is_another_model(service, photo):
    import torch

    from catfish_core.models import saved

    made = model_of(service)
    before = client.predict(service, made.id, [("a.jpg", photo)])[0].probabilities
    loaded = saved.load(made.path)
    with torch.no_grad():
        for weights in loaded.model.parameters():
            weights.mul_(-2)
    saved.save(made.path, loaded.model, made.config(), CLASSES, (0.5,) * 3, (0.5,) * 3)
    assert client.predict(service, made.id, [("a.jpg", photo)])[0].probabilities != before


def test_augmented_draws_are_pictures_and_repeat_with_their_seed(service, photo):
    steps = [step.model_dump(mode="json") for step in recommended()]
    draws = client.augmented(service, photo, steps, 48, seed=3, count=4)
    assert [size(draw) for draw in draws] == [(48, 48)] * 4
    assert len(set(draws)) == 4
    assert draws == client.augmented(service, photo, steps, 48, seed=3, count=4)
    assert draws != client.augmented(service, photo, steps, 48, seed=4, count=4)


def test_augmentations_that_cannot_be_meant_are_a_sentence(service, photo):
    with pytest.raises(ConfigError, match="sigma"):
        client.augmented(service, photo, [{"kind": "GaussianNoise", "sigma": -1}], 64, 0)
    with pytest.raises(ConfigError):
        client.augmented(service, photo, [{"kind": "Explode"}], 64, 0)
    with pytest.raises(ConfigError, match="draws"):
        client.augmented(service, photo, [], 64, 0, count=1000)
    with pytest.raises(PhotoError):
        client.augmented(service, b"not a photo", [], 64, 0)


def test_a_service_that_was_killed_comes_back(service, cnn, photo):
    client.predict(service, cnn, [("a.jpg", photo)])
    before = address.read(service)
    end(before.pid)
    assert client.predict(service, cnn, [("a.jpg", photo)])[0].error is None
    assert address.read(service).pid != before.pid


def test_a_service_that_dies_over_a_request_is_asked_once_more(service, cnn, photo, monkeypatch):
    client.layers(service, cnn)
    post, died = connection._Line.post, []

    def dying(line, path, body, limit):
        if not died:
            died.append(line.address.pid)
            end(line.address.pid)
        return post(line, path, body, limit)

    monkeypatch.setattr(connection._Line, "post", dying)
    assert client.predict(service, cnn, [("a.jpg", photo)])[0].error is None
    assert address.read(service).pid not in died


def test_a_service_that_dies_twice_is_one_sentence(service, cnn, photo, monkeypatch):
    post = connection._Line.post

    def dying(line, path, body, limit):
        end(line.address.pid)
        return post(line, path, body, limit)

    monkeypatch.setattr(connection._Line, "post", dying)
    with pytest.raises(ServiceError, match="twice"):
        client.predict(service, cnn, [("a.jpg", photo)])


def test_an_answer_that_does_not_come_in_time_is_one_sentence(service, cnn, photo):
    pid = client.layers(service, cnn) and address.read(service).pid
    wish = {"run": cnn, "names": ["a.jpg"]}
    with pytest.raises(ServiceError, match="within"):
        connection.ask(service, "/predict", wish, [photo], limit=1e-4)
    assert address.read(service).pid == pid


def test_a_request_too_large_is_not_even_sent(service):
    from catfish_core.serving import wire

    with pytest.raises(ServiceError, match="at once"):
        connection.ask(service, "/predict", {}, [bytes(wire.MAX_BODY)])


def test_two_who_ask_at_once_start_one_service(service):
    end_service(service)
    log = connection.log_path(service)
    log.unlink(missing_ok=True)
    pids, gate = [], threading.Barrier(6)

    def ask():
        gate.wait()
        found, line = connection.connect(service)
        line.close()
        pids.append(found.pid)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 6 and len(set(pids)) == 1
    assert log.read_text().count("listens") == 1


def test_an_older_service_gives_way_to_newer_code(service, monkeypatch):
    connection.connect(service)[1].close()
    old = address.read(service)
    monkeypatch.setattr(connection, "version", lambda: "newer")
    connection.connect(service)[1].close()
    new = address.read(service)
    assert new.version == "newer" and new.pid != old.pid
    gone(old.pid)  # it notices by itself
    assert address.read(service) == new
    end_service(service)


def test_somebody_else_on_the_port_is_told_nothing(service, loopback):
    found, line = connection.connect(service)
    line.close()
    end(found.pid)
    address.publish(service, address.Address(found.pid, loopback.port, found.token, found.version))
    fresh, line = connection.connect(service)
    line.close()
    assert fresh.port != loopback.port
    assert {request["path"] for request in loopback.requests} == {"/health"}
    assert found.token not in json.dumps(loopback.requests)


def test_warm_up_does_not_wait(service):
    end_service(service)
    began = time.monotonic()
    client.warm_up(service)
    client.warm_up(service)
    assert time.monotonic() - began < 0.2
    client._warming[service].join()
    assert address.read(service) is not None


def test_a_service_that_does_not_start_is_one_sentence(tmp_path, monkeypatch):
    from catfish_core.workspace import Workspace

    monkeypatch.setattr(connection, "START_LIMIT", 0.1)
    monkeypatch.setattr(connection, "spawn", lambda *_, log: 0)
    with pytest.raises(ServiceError, match="does not start"):
        client.layers(Workspace(tmp_path), "x")
