"""Claims: the exported firmware flies the task's scenarios, a flight repeats, and a lost board loses nothing else."""

import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from robostack import boards, cli, registry
from robostack.evaluate.flight import Flight, survived
from robostack.evaluate.fly import BoardLostError, fly
from robostack.run_folder import RunFolder
from robostack.spec import ContractError
from robostack_real.link.client import BoardLink
from robostack_real.twins.board import SerialBoard
from robostack_real.twins.build import build_firmware
from robostack_sim.quadrotor.task import Quadrotor


@pytest.fixture
def run(quadrotor_run, need_tool):
    need_tool("cc")
    return RunFolder.open(quadrotor_run)


@pytest.fixture
def few(monkeypatch):
    """Leaves of the quadrotor's scenarios one recovery and the hover, of a tenth of a second each."""
    scenarios = Quadrotor.scenarios

    def shortened(self):
        kept = [s for s in scenarios(self) if s.name in ("recover_00", "hover")]
        return [replace(s, seconds=0.1) for s in kept]

    monkeypatch.setattr(Quadrotor, "scenarios", shortened)


class Doomed:
    """The host board on its serial line; its process is killed in the `periods`-th control period."""

    name = "host"

    def __init__(self, periods):
        self.periods = periods

    def missing(self):
        return []

    @contextmanager
    def serial(self, firmware):
        elf = build_firmware(
            firmware, firmware / "generated", firmware / "build-doomed", board="host", transport="usart"
        )
        with SerialBoard(elf, "host") as board, board.connect() as link:
            observe, seen = link.observe, []

            def counted(values):
                seen.append(1)
                if len(seen) == self.periods:
                    board.kill()
                    while True:  # what the line holds already is still delivered
                        observe(values)
                return observe(values)

            link.observe = counted
            yield link


@pytest.fixture
def doomed(monkeypatch):
    """Makes the only board one that dies in the given period."""

    def install(periods):
        load = registry.load
        monkeypatch.setattr(
            registry, "load", lambda kind, name: Doomed(periods) if kind == "board" else load(kind, name)
        )

    return install


def values(rows):
    return {r["what"]: r["value"] for r in rows}


@pytest.mark.usefixtures("few")
def test_every_scenario_is_flown_on_both_lines_and_kept_under_a_name_of_its_own(run):
    rows = values(fly(run, board="host"))
    assert rows["flown twice, same bytes"] == 1.0
    assert {p.stem for p in run.flights.glob("*.npz")} == {"recover_00", "hover", "serial_hover"}
    for path in run.flights.glob("*.npz"):
        flight = Flight.load(path)
        assert flight.name == path.stem
        assert len(flight) == 10
        assert flight.about["board"] == "host"
        assert set(flight.columns) >= {"position", "reference", "attitude", "rotor_speed", "action"}


@pytest.mark.usefixtures("few")
def test_the_line_is_timed_apart_from_the_flight_that_the_board_paces(run):
    rows = values(fly(run, board="host", transport="serial"))
    flight = Flight.load(run.flights / "serial_hover.npz")
    assert len(flight.timing["echo_s"]) == 300
    assert rows["serial line, host"] == pytest.approx(1.0 / np.mean(flight.timing["echo_s"]))
    assert rows["serial round trip, p50"] == pytest.approx(1e3 * np.median(flight.timing["echo_s"]))
    assert np.sum(flight.timing["answer_s"]) >= 0.08  # ten periods of the board's own 10 ms, less the first's phase


@pytest.mark.usefixtures("few")
def test_a_host_too_slow_for_the_board_does_not_slow_the_machine_down(run, monkeypatch):
    answers, observe = [], BoardLink.observe

    def late(self, *values):
        answers.append(observe(self, *values))
        time.sleep(0.023)  # two more periods of the board's
        return answers[-1]

    monkeypatch.setattr(BoardLink, "observe", late)
    rows = values(fly(run, board="host", transport="serial"))
    flight, flown = Flight.load(run.flights / "serial_hover.npz"), answers[1:]  # the first is made disarmed
    assert len(flight) == flown[-1].tick - flown[0].tick + 1 >= 10
    assert rows["of its periods, without a new observation"] == len(flight) - len(flown) >= 4
    held = np.repeat([a.action for a in flown], np.diff([f.tick for f in flown], append=flown[-1].tick + 1), axis=0)
    assert np.array_equal(flight["action"], held)


@pytest.mark.usefixtures("few")
def test_a_board_lost_in_flight_keeps_the_flight_so_far_and_says_where(run, doomed, capsys):
    doomed(7)  # the first observation is made disarmed
    assert cli.main(["fly", str(run.path), "--board", "host", "--transport", "serial"]) == 1
    err = capsys.readouterr().err
    assert "is gone" in err
    assert "the 0.05 s flown until then are in" in err
    assert "Traceback" not in err
    flight = Flight.load(run.flights / "serial_hover.npz")
    assert len(flight) == 5
    assert "is gone" in flight.about["cut_short"]
    assert not survived(flight)
    assert run.metrics()["fly"]["rows"] == []
    assert cli.main(["report", str(run.path)]) == 0
    assert "cut short" in run.report.read_text()


@pytest.mark.usefixtures("few")
def test_a_board_lost_before_the_first_period_costs_no_earlier_flight(run, doomed):
    fly(run, board="host", transport="lockstep")
    run.record(fly={"rows": [{"what": "before"}]})
    before = {p.name: p.read_bytes() for p in run.flights.glob("*.npz")}
    doomed(1)
    with pytest.raises(BoardLostError, match="is gone"):
        fly(run, board="host", transport="serial")
    assert {p.name: p.read_bytes() for p in run.flights.glob("*.npz")} == before
    assert run.metrics()["fly"]["rows"] == [{"what": "before"}]


@pytest.mark.parametrize(
    ("names", "said"), [((), "has no scenarios"), (("hover", "hover"), "two scenarios called 'hover'")]
)
def test_a_task_without_scenarios_or_with_two_of_a_name_is_refused(run, names, said, monkeypatch):
    scenarios = {s.name: s for s in Quadrotor.scenarios(Quadrotor(Quadrotor.Config(num_envs=1)))}
    monkeypatch.setattr(Quadrotor, "scenarios", lambda self: [scenarios[n] for n in names])
    with pytest.raises(ContractError, match=said):
        fly(run, board="host")


@pytest.mark.usefixtures("few")
def test_the_tables_rows_are_one_line_each_at_100_columns(run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    run.record(fly={"rows": fly(run, board="host")})
    capsys.readouterr()
    cli.main(["report", str(run.path)])
    table = capsys.readouterr().out.split("report:")[0]
    rows = run.metrics()["fly"]["rows"]
    assert len([line for line in table.splitlines() if line.strip()]) == len(rows) + 2  # head and rule
    for row in rows:
        assert row["what"] in table


def test_a_board_whose_tools_are_missing_is_named_with_the_line_that_installs_them(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ContractError, match=r"board netduinoplus2 needs make, .*apt-get install"):
        boards.choose("netduinoplus2")
    with pytest.raises(ContractError, match="no board can be built here"):
        boards.choose("auto")
    assert "board netduinoplus2 left out, it needs" in capsys.readouterr().err


def test_auto_takes_the_first_board_whose_tools_are_here(monkeypatch, capsys, need_tool):
    need_tool("cc")
    monkeypatch.setattr(
        type(registry.load("board", "host")), "missing", lambda self: [] if self.name == "host" else ["qemu-system-arm"]
    )
    assert boards.choose("auto").name == "host"
    assert "netduinoplus2 left out, it needs qemu-system-arm" in capsys.readouterr().err
