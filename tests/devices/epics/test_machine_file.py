"""Claims: a machine's file that is wrong is named with its field, its value and what to do."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from robostack.spec import ContractError
from robostack_real.devices.epics.machine_file import MachineFile

TEXT = files("robostack_real.devices.epics").joinpath("cafe2_cm1.toml").read_text(encoding="utf-8")


def test_the_file_that_comes_along_is_sound_and_is_put_in_a_contracts_order(tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    path.write_text(TEXT)
    file = MachineFile.read(path)
    assert len(file.correctors) == 10 and len(file.readings) == 10
    names = [c.name for c in file.correctors]
    turned = file.ordered(file.readings[6:] + file.readings[:6], names[::-1], "a policy")
    assert [c.name for c in turned.correctors] == names[::-1]
    assert turned.readings == file.readings[6:] + file.readings[:6]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("[interlock]", "[interlok]", "interlok: no such field"),
        ('operator = "HCM1:ORBIT"', "operator = 3", "operator = 3: must be a text"),
        ('beam_current = "HCM1_ACCT:Current"', "", "interlock.beam_current: is missing"),
        ("beam_current_min = 1.0", "beam_current_min = -1.0", "interlock.beam_current_min = -1: must be positive"),
        ("shots = 3", "shots = 0", "timing.shots = 0: must be 1 at least"),
        ("shots = 3", "shots = 2.5", "timing.shots = 2.5: must be a whole number"),
        ("max_age_s = 2.0", "max_age_s = nan", "timing.max_age_s = nan: must be a number"),
        ("low_a = -9.0", "low_a = 9.0", "corrector[0].high_a = 9: must be above low_a = 9"),
        ("low_a = -9.0", 'low_a = "-9"', "corrector[0].low_a = '-9': must be a number"),
        ("slew_a_per_s = 10.0", "slew_a_per_s = 0", "corrector[0].slew_a_per_s = 0: must be positive"),
        ("slew_a_per_s = 10.0", "slew = 10.0", "corrector[0].slew: no such field"),
        ('unit = "mm"', 'unit = "inch"', "bpm[0].unit = 'inch': must be one of m, mm, um"),
        ("Bpm:1-Y11", "Bpm:1-X11", "the PV 'Bpm:1-X11' is there twice"),
        ('name = "bpm_2"', 'name = "bpm_1"', "the name 'bpm_1' is there twice"),
        ("[target_m]", "[target_m]\nbpm_9_x = 0.0", "target_m.bpm_9_x: no such reading"),
        ("[target_m]", "[target_m]\nbpm_1_x = inf", "target_m.bpm_1_x = inf: must be a number of metres"),
        ("[timing]", "[timing", "no TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in TEXT
    path = tmp_path / "machine.toml"
    path.write_text(TEXT.replace(before, after))
    with pytest.raises(ContractError) as error:
        MachineFile.read(path)
    assert str(path) in str(error.value) and said in str(error.value)
