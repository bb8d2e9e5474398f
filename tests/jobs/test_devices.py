"""What computes here and how it is shared."""

import pytest

from catfish_core.jobs import devices


@pytest.fixture
def two_cards(monkeypatch):
    monkeypatch.setattr(devices, "cards", lambda: ("A", "B"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(devices, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.parametrize(("cores", "slots"), [(1, 1), (2, 1), (7, 1), (8, 2), (64, 16)])
def test_the_processor_takes_one_job_for_every_four_cores(monkeypatch, cores, slots):
    monkeypatch.setattr(devices, "cores", lambda: cores)
    (cpu,) = [device for device in devices.devices(None, []) if device.name == "cpu"]
    assert (cpu.slots, cpu.taken, cpu.free) == (slots, 0, slots)


def test_a_card_takes_one_and_a_job_may_take_several(two_cards, eight_cores):
    found = devices.devices(None, ["cuda:0,cuda:1", "cpu"])
    assert [(d.name, d.slots, d.taken) for d in found] == [("cuda:0", 1, 1), ("cuda:1", 1, 1), ("cpu", 2, 1)]


def test_a_lab_s_own_numbers(two_cards, eight_cores):
    found = devices.devices({"cpu": 5, "cuda:1": 2}, [])
    assert [d.slots for d in found] == [1, 2, 5]


def test_trainings_share_the_cores(eight_cores):
    assert "OMP_NUM_THREADS" not in devices.environment("cpu", 1)
    assert devices.environment("cpu", 2)["OMP_NUM_THREADS"] == "4"
    assert devices.environment("cpu", 2, processes=2)["OMP_NUM_THREADS"] == "2"
    assert devices.environment("cpu", 16)["OMP_NUM_THREADS"] == "1"


def test_a_number_of_threads_that_somebody_set_stays(eight_cores, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "OMP_NUM_THREADS" not in devices.environment("cpu", 2)


def test_a_worker_sees_its_card_alone(two_cards, eight_cores, monkeypatch):
    assert devices.environment("cuda:1", 2)["CUDA_VISIBLE_DEVICES"] == "1"
    assert devices.environment("cuda:0,cuda:1", 2)["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert devices.environment("cpu", 2)["CUDA_VISIBLE_DEVICES"] == ""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert devices.environment("cuda:1", 2)["CUDA_VISIBLE_DEVICES"] == "5"


def test_a_machine_without_a_driver_has_no_cards():
    pynvml = pytest.importorskip("pynvml")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        assert devices.cards() == ()
    else:
        assert len(devices.cards()) <= pynvml.nvmlDeviceGetCount()
