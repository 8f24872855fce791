"""Claims: each format's units, frames and orders become ours; a log's holes are cut out and told, not fitted across."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from robostack import cli
from robostack.evaluate import bag
from robostack.evaluate.flight import STATUS, Column, Flight
from robostack.quaternion import from_euler, rotate
from robostack.spec import ContractError
from robostack_sim.quadrotor.identify import crazyflie, mcap, ulog
from robostack_sim.quadrotor.identify.log import Log, Series, pieces
from robostack_sim.quadrotor.interface import ROTORS
from robostack_sim.quadrotor.vehicle import load_vehicle

VEHICLE = load_vehicle("crazyflie_2_1")
DT_S = 0.01


def made(rows: int = 400) -> Log:
    """Numbers that no two channels share."""
    t = DT_S * np.arange(rows)
    angles = np.stack([0.3 * np.sin(t), 0.2 * np.sin(2 * t), 0.1 * np.cos(t)], 1)  # yaw, pitch, roll
    return Log("made", {
        "position": Series(t, np.stack([t, 2 * t, 3 * t], 1)),
        "velocity": Series(t, np.stack([4 * t, 5 * t, 6 * t], 1)),
        "attitude": Series(t, from_euler("ZYX", angles)),
        "body_rate": Series(t, np.stack([7 * t, 8 * t, 9 * t], 1)),
        "command": Series(t, 1000.0 + np.stack([t, 2 * t, 3 * t, 4 * t], 1)),
    })  # fmt: skip


def same(found: Log, wanted: Log, rel: float = 1e-5) -> None:
    for name, s in wanted.channels.items():
        np.testing.assert_allclose(found.channels[name].values, s.values, rtol=rel, atol=1e-4, err_msg=name)
        np.testing.assert_allclose(np.diff(found.channels[name].time_s), np.diff(s.time_s), atol=1e-6)


def test_the_pieces_of_a_whole_log_are_the_log() -> None:
    log = made()
    whole = pieces(log)
    (piece,) = whole.found
    assert whole.dt_s == DT_S and whole.notes == () and piece.begins_s == 0.0
    wanted = np.concatenate([log.channels[n].values for n in ("position", "attitude", "velocity", "body_rate")], 1)
    np.testing.assert_allclose(piece.state, wanted[:-1], atol=1e-9)
    np.testing.assert_allclose(piece.command, log.channels["command"].values[:-1], atol=1e-6)


def test_samples_of_a_faster_loop_count_from_one_to_the_next() -> None:
    log = made()
    (piece,) = pieces(Log("made", log.channels, sampled=True)).found
    u = log.channels["command"].values
    np.testing.assert_allclose(piece.command, 0.5 * (u[1:] + u[:-1]), atol=1e-6)


def without(log: Log, name: str, rows: slice) -> Log:
    keep = np.ones(len(log.channels[name].time_s), dtype=bool)
    keep[rows] = False
    s = log.channels[name]
    return Log("made", {**log.channels, name: Series(s.time_s[keep], s.values[keep])})


def test_a_gap_is_cut_out_and_told() -> None:
    whole = pieces(without(made(600), "attitude", slice(300, 331)))
    assert [round(p.begins_s, 2) for p in whole.found] == [0.0, 3.31]
    assert whole.found[0].state[-1, 0] == pytest.approx(2.98)  # what 2.99 was told acts across the gap
    assert whole.notes == ("attitude has a gap of 0.320 s at 2.990 s",)


def test_a_value_that_is_no_number_is_a_gap() -> None:
    log = made(600)
    log.channels["body_rate"].values[300:331, 1] = np.nan
    assert len(pieces(log).found) == 2


def test_a_single_lost_sample_is_no_gap() -> None:
    assert len(pieces(without(made(), "attitude", slice(200, 201))).found) == 1


def restarted(log: Log) -> Log:
    channels = {}
    for name, s in log.channels.items():
        time_s = s.time_s.copy()
        time_s[300:] -= 2.5
        channels[name] = Series(time_s, s.values)
    return Log("made", channels)


def test_a_clock_that_goes_back_parts_the_log_and_is_told() -> None:
    whole = pieces(restarted(made(600)))
    assert [len(p.state) for p in whole.found] == [299, 299]
    assert whole.found[1].state[0, 0] == pytest.approx(3.0)
    assert "the clock goes back by 2.490 s, 2.990 s after the beginning" in whole.notes[0]


def test_channels_that_disagree_on_the_clock_are_refused() -> None:
    log, other = made(600), restarted(made(600))
    with pytest.raises(ContractError, match="goes back 0 times in position, 0 times in attitude, 0 times in velocity, "
                       "0 times in body_rate, 1 times in command"):  # fmt: skip
        pieces(Log("made", {**log.channels, "command": other.channels["command"]}))


def test_a_log_full_of_holes_says_how_long_its_longest_piece_is() -> None:
    log = made(600)
    for row in range(50, 600, 50):
        log.channels["position"].values[row : row + 20] = np.nan
    with pytest.raises(
        ContractError, match=r"longest piece with all of .* has 0\.\d+ s, needed are 1\.2 s; position has"
    ):
        pieces(log)


def test_a_slow_a_silent_and_a_missing_channel_are_named() -> None:
    log = made()
    slow = {n: Series(10 * s.time_s, s.values) for n, s in log.channels.items()}
    with pytest.raises(ContractError, match="attitude comes every 100 ms; a rotor's lag shows at 25 ms or less"):
        pieces(Log("made", slow))
    silent = Series(log.channels["body_rate"].time_s, np.full((400, 3), np.nan))
    with pytest.raises(ContractError, match=r"body_rate is never a number \(400 rows\)"):
        pieces(Log("made", {**log.channels, "body_rate": silent}))
    with pytest.raises(ContractError, match="no command; it has position"):
        pieces(Log("made", {n: s for n, s in log.channels.items() if n != "command"}))


STATE = ("stateEstimate.x", "stateEstimate.y", "stateEstimate.z", "stateEstimate.vx", "stateEstimate.vy",
         "stateEstimate.vz", "stateEstimate.roll", "stateEstimate.pitch", "stateEstimate.yaw")  # fmt: skip


def write_csv(path: Path, names: tuple[str, ...], time_s: np.ndarray, *columns: np.ndarray) -> Path:
    table = np.concatenate([1e3 * time_s[:, None], *columns], 1)
    np.savetxt(path, table, delimiter=",", header=",".join(["Timestamp", *names]), comments="", fmt="%.9g")
    return path


def crazyflie_files(log: Log, folder: Path) -> list[Path]:
    """Two log blocks, the motors as PWM ratios under a battery that empties."""
    c, t = {n: s.values for n, s in log.channels.items()}, log.channels["position"].time_s
    w, x, y, z = c["attitude"].T
    euler = np.stack([
        np.arctan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y)), -np.arcsin(2 * (w * y - z * x)),
        np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)),
    ], 1)  # fmt: skip
    volts = (4.1 - 0.01 * t)[:, None]
    ratio = c["command"] / VEHICLE.rotor_speed_max * 4.2 / volts * 65535
    state = write_csv(folder / "state.csv", STATE, t, c["position"], c["velocity"], np.degrees(euler))
    names = ("gyro.x", "gyro.y", "gyro.z", "motor.m1", "motor.m2", "motor.m3", "motor.m4", "pm.vbat")
    return [state, write_csv(folder / "motors.csv", names, t, np.degrees(c["body_rate"]), ratio, volts)]


def test_a_crazyflies_columns_become_ours(tmp_path: Path) -> None:
    log = made()
    found = crazyflie.read(crazyflie_files(log, tmp_path), VEHICLE)
    same(found, log)
    assert found.sampled and found.compensated
    nose_up = rotate(from_euler("ZYX", np.array([0.0, -0.2, 0.0])), np.array([1.0, 0.0, 0.0]))
    assert nose_up[2] > 0  # and a Crazyflie calls that pitch positive


def test_with_our_app_its_commands_are_taken_where_the_policy_flew(tmp_path: Path) -> None:
    log, files = made(), crazyflie_files(made(), tmp_path)
    speeds = log.channels["command"].values.copy()
    speeds[:100] = 0.0
    t = log.channels["command"].time_s
    files.append(write_csv(tmp_path / "app.csv", tuple(f"rsp.m{i}" for i in (1, 2, 3, 4)), t, speeds))
    found = crazyflie.read(files, VEHICLE)
    assert np.isnan(found.channels["command"].values[:100]).all()
    np.testing.assert_allclose(found.channels["command"].values[100:], speeds[100:])
    assert not found.sampled
    assert pieces(found).found[0].begins_s == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty; the first column of a Crazyflie's CSV is Timestamp, in ms"),
        ("time_s,position.x [m]\n0,1\n", "begins with 'time_s'; the first column"),
        ("Timestamp,gyro.x\n", "no rows below its header"),
        ("Timestamp,gyro.x\n0,1\n10,much\n", "row 3 is not 2 numbers: 10,much"),
        ("Timestamp,gyro.x\n0,1\n10,1,2\n", "row 3 is not 2 numbers"),
        ("Timestamp,gyro.x\n0,1\n10,1\n", "position needs the columns stateEstimate.x, .*; it has gyro.x"),
    ],
)
def test_a_csv_that_does_not_fit_is_told_where(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "flight.csv"
    path.write_text(text)
    with pytest.raises(ContractError, match=rf"flight\.csv: {said}"):
        crazyflie.read([path], VEHICLE)


def test_without_the_battery_or_the_motors_a_csv_is_refused(tmp_path: Path) -> None:
    state, motors = crazyflie_files(made(), tmp_path)
    motors.write_text(motors.read_text().replace("pm.vbat", "pm.state"))
    with pytest.raises(ContractError, match=r"command needs the columns rsp\.m1, .*, or motor\.m1, .*pm\.vbat; it has"):
        crazyflie.read([state, motors], VEHICLE)


def flight_of(log: Log, status: str = "policy") -> Flight:
    c = {n: s.values for n, s in log.channels.items()}
    columns = {n: Column(c[n], u) for n, u in (("position", "m"), ("velocity", "m/s"), ("attitude", "1"),
                                               ("body_rate", "rad/s"))}  # fmt: skip
    columns["action"] = Column(c["command"], "rad/s", ROTORS)
    told = np.full(len(c["command"]), STATUS.index(status), np.uint8)
    return Flight("made", DT_S, columns, told)


def test_our_recordings_and_flights_are_read(tmp_path: Path) -> None:
    log = made(100)
    same(mcap.read(bag.save(flight_of(log), tmp_path / "x.mcap", 10**18), VEHICLE), log)
    same(mcap.read(flight_of(log).save(tmp_path / "x.npz"), VEHICLE), log)


def test_what_nobody_obeyed_is_left_out(tmp_path: Path) -> None:
    found = mcap.read(bag.save(flight_of(made(100), "stock"), tmp_path / "x.mcap"), VEHICLE)
    assert np.isnan(found.channels["command"].values).all()


def test_a_recording_without_rotor_speeds_is_told(tmp_path: Path) -> None:
    flight = flight_of(made(10))
    columns = {**flight.columns, "action": Column(np.zeros((10, 4)), "1", ("thrust", "p", "q", "r"))}
    path = bag.save(Flight("made", DT_S, columns, flight.status), tmp_path / "x.mcap")
    with pytest.raises(ContractError, match=r"x\.mcap: action"):
        mcap.read(path, VEHICLE)


def write_ulog(path: Path, topics: dict[str, tuple[str, np.ndarray, np.ndarray]]) -> Path:
    """By PX4's description of the format: name -> fields, (n,) us, (n, k) float32."""

    def message(kind: bytes, body: bytes) -> bytes:
        return struct.pack("<HB", len(body), kind[0]) + body

    parts = [b"ULog\x01\x12\x35\x01", struct.pack("<Q", 0), message(b"B", bytes(40))]
    for name, (fields, _, _) in topics.items():
        parts.append(message(b"F", f"{name}:uint64_t timestamp;{fields}".encode()))
    for number, name in enumerate(topics):
        parts.append(message(b"A", struct.pack("<BH", 0, number) + name.encode()))
    for number, (_, time_us, values) in enumerate(topics.values()):
        for t, row in zip(time_us, values, strict=True):
            parts.append(message(b"D", struct.pack(f"<HQ{len(row)}f", number, int(t), *row)))
    path.write_bytes(b"".join(parts))
    return path


def px4_topics(log: Log) -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
    """Back to NED, FRD and PX4's order of motors, written apart from the reader."""
    c, t = {n: s.values for n, s in log.channels.items()}, np.round(1e6 * log.channels["position"].time_s)
    swap = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    flip = np.diag([1.0, -1.0, -1.0])
    turned = []
    for q in c["attitude"]:
        matrix = swap @ np.stack([rotate(q, axis) for axis in np.eye(3)], 1) @ flip
        w = 0.5 * np.sqrt(max(1.0 + np.trace(matrix), 1e-12))
        turned.append([w, *(np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0],
                                      matrix[1, 0] - matrix[0, 1]]) / (4 * w))])  # fmt: skip
    share = c["command"] / VEHICLE.rotor_speed_max
    front_right, back_right, back_left, front_left = share.T
    place = np.concatenate([c["position"] @ swap.T, c["velocity"] @ swap.T], 1)
    return {
        "vehicle_local_position": ("float x;float y;float z;float vx;float vy;float vz;", t, place),
        "vehicle_attitude": ("float[4] q;", t, np.array(turned)),
        "vehicle_angular_velocity": ("float[3] xyz;", t, c["body_rate"] @ flip),
        "actuator_motors": ("float[4] control;", t, np.stack([front_right, back_left, front_left, back_right], 1)),
    }


def test_a_ulogs_frames_and_motors_become_ours(tmp_path: Path) -> None:
    pytest.importorskip("pyulog")
    log = made(50)
    found = ulog.read(write_ulog(tmp_path / "x.ulg", px4_topics(log)), VEHICLE)
    sign = np.sign((found.channels["attitude"].values * log.channels["attitude"].values).sum(1))[:, None]
    found.channels["attitude"].values[:] *= sign  # one rotation, two quaternions
    same(found, log, rel=1e-4)


def test_a_ulog_without_motors_and_a_file_that_is_none_are_told(tmp_path: Path) -> None:
    pytest.importorskip("pyulog")
    topics = px4_topics(made(5))
    del topics["actuator_motors"]
    with pytest.raises(ContractError, match=r"x\.ulg: no topic actuator_motors; it has .*SDLOG_PROFILE"):
        ulog.read(write_ulog(tmp_path / "x.ulg", topics), VEHICLE)
    (tmp_path / "y.ulg").write_bytes(b"no log at all")
    with pytest.raises(ContractError, match=r"y\.ulg: no ULog, or a damaged one"):
        ulog.read(tmp_path / "y.ulg", VEHICLE)


def test_a_format_that_nobody_reads_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for given in (["x.txt"], ["a.csv", "b.mcap"], ["a.mcap", "b.mcap"]):
        assert cli.main(["identify", "--log", *given, "-o", str(tmp_path / "out.toml")]) == 1
        assert "give one .mcap, .npz, .ulg or folder of `ros2 bag`" in capsys.readouterr().err
    assert cli.main(["identify", "--log", "none.csv", "-o", str(tmp_path / "out.toml")]) == 1
    assert capsys.readouterr().err == "robostack: none.csv: no such file or folder\n"
