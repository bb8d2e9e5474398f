"""Whose turn it is and what there is room for."""

from collections import Counter
from dataclasses import replace

import pytest

from catfish_core.jobs import turns
from catfish_core.jobs.census import Entry
from catfish_core.jobs.devices import Device
from catfish_core.jobs.turns import Room

GB = 2**30


def waiting(*owners, **facts):
    return [Entry(id=f"{owner}{n}", kind="run", attempt=1, owner=owner, **facts) for n, owner in enumerate(owners)]


def running(*owners):
    return [replace(entry, id=f"r{entry.id}", slot="cpu") for entry in waiting(*owners)]


def owners(entries):
    return "".join(entry.owner for entry in entries)


def there(cpu=(1, 0), *cards, memory=8 * GB, disk=GB, limit=None):
    devices = [Device(f"cuda:{n}", "a card", *card) for n, card in enumerate(cards)]
    return Room([*devices, Device("cpu", "the processor", *cpu)], memory, disk, limit)


def test_who_has_the_fewest_running_goes_first():
    assert owners(turns.order(waiting(*"aaabc"), running(*"aab"), {})) == "cbaaa"


def test_one_person_s_many_jobs_do_not_hold_up_another_s_few():
    assert owners(turns.order(waiting(*"aaaaabb"), [], {})) == "ababaaa"


def test_between_equals_the_one_served_least_recently_goes_first():
    assert owners(turns.order(waiting(*"abc"), [], {"a": 5, "b": 3, "c": 4})) == "bca"


def test_then_who_came_first():
    assert owners(turns.order(waiting(*"cab"), [], {})) == "cab"


def test_a_priority_decides_between_equals_and_within_one_person_s_jobs():
    first, second, third = waiting(*"aab")
    urgent = replace(second, priority=5)
    assert turns.order([first, urgent, third], [], {"a": 9}) == [urgent, third, first]
    assert owners(turns.order([replace(first, priority=9), third], running("a"), {})) == "ba"


def test_a_hundred_jobs_of_five_people_start_in_fair_order():
    jobs = [entry for owner in "abcde" for entry in waiting(*owner * 20)]
    jobs = [replace(entry, id=f"{n}") for n, entry in enumerate(jobs)]
    ordered = turns.order(jobs, [], {})
    assert sorted(ordered, key=lambda e: e.id) == sorted(jobs, key=lambda e: e.id)
    for n in range(1, 101):
        counts = Counter(entry.owner for entry in ordered[:n])
        assert max(counts.values()) - min(counts[o] for o in "abcde") <= 1
    for owner in "abcde":
        theirs = [int(entry.id) for entry in ordered if entry.owner == owner]
        assert theirs == sorted(theirs)


@pytest.mark.parametrize(
    ("wants", "devices", "room", "slot"),
    [
        ("auto", 1, there(), "cpu"),
        ("auto", 1, there((1, 0), (1, 0)), "cuda:0"),
        ("auto", 1, there((1, 0), (1, 1), (1, 0)), "cuda:1"),
        ("auto", 1, there((1, 0), (1, 1)), "cpu"),
        ("cuda", 1, there((1, 0), (1, 1)), ""),
        ("cuda", 1, there(), "cpu"),  # where its worker says that there is no card
        ("cuda", 2, there((1, 0), (1, 0), (1, 0)), "cuda:0,cuda:1"),
        ("cuda", 2, there((1, 0), (1, 0), (1, 1)), ""),
        ("cuda", 4, there((1, 0), (1, 0)), "cuda:0"),
        ("cpu", 1, there((1, 0), (1, 0)), "cpu"),
        ("mps", 1, there(), "cpu"),
        ("cpu", 1, there((2, 1)), "cpu"),
        ("cpu", 1, there((2, 2)), ""),
        ("cpu", 1, there((0, 0), (1, 0)), ""),
        ("auto", 1, there((0, 0), (1, 1)), ""),
    ],
)
def test_a_place_on_a_device(wants, devices, room, slot):
    (entry,) = waiting("a", wants=wants, devices=devices)
    given, why = turns.place(entry, running("b"), room)
    assert given == slot and bool(why) == (not slot)
    assert not why or (not why[0].islower() and why.endswith("."))


def test_a_person_s_limit():
    (entry,) = waiting("a")
    assert turns.place(entry, running("a"), there((4, 1), limit=2))[0] == "cpu"
    slot, why = turns.place(entry, running("a", "a"), there((4, 2), limit=2))
    assert not slot and "2 jobs of a run already" in why


def test_memory_is_waited_for_but_not_for_good():
    (entry,) = waiting("a")
    slot, why = turns.place(entry, running("b"), there((4, 1), memory=GB // 2))
    assert not slot and "0.5 GB" in why
    assert turns.place(entry, [], there((4, 0), memory=GB // 2))[0] == "cpu"


def test_a_full_disk_is_waited_for():
    (entry,) = waiting("a")
    assert "disk is full" in turns.place(entry, [], there(disk=10))[1]
