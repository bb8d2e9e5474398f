from datetime import datetime

from catfish_core import sweeps
from catfish_core.config import RunConfig, SweepConfig
from catfish_core.events import Advised, EventLog
from catfish_ui import sweep_table


def test_a_row_says_what_was_swept_and_found(workspace):
    sweep = sweeps.create(workspace, RunConfig(name="<b>mine</b>"), SweepConfig(init=1e-5))
    with EventLog(sweep.events_path) as log:
        log.append(Advised(recommended="valley", rate=0.001234, reason="", suggestions={"valley": 0.001234}))
    cells = sweep_table.row(sweeps.summary(sweep), datetime.now()).cells
    assert (cells[0]["text"], cells[0]["note"]) == ("<b>mine</b>", "64 px, Adam, 64 photos a step")
    assert cells[2:4] == ["1e-05 to 1", "0.0012"]


def test_a_damaged_sweep_says_so(workspace):
    sweep = sweeps.create(workspace, RunConfig(), SweepConfig())
    sweep.settings_path.write_text("{ not json")
    cells = sweep_table.row(sweeps.summary(sweep), datetime.now()).cells
    assert cells[1]["text"] == "damaged" and "cannot be read" in cells[0]["note"]


def test_sweeps_of_one_second_have_names_of_their_own(workspace):
    for _ in range(3):
        sweeps.create(workspace, RunConfig(), SweepConfig())
    found = sweeps.listing(workspace)
    assert [each.sweep.id for each in sweep_table.names(found).values()] == [each.sweep.id for each in found]
