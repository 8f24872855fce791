import subprocess
from pathlib import Path

import pytest
from small_policy import small_policy

from robostack.export.firmware import export_firmware
from robostack.export.footprint import PADDING, footprint
from robostack.spec import ContractError


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory, need_tool) -> Path:  # type: ignore[no-untyped-def]
    need_tool("arm-none-eabi-gcc")
    folder = tmp_path_factory.mktemp("footprint")
    export_firmware(small_policy(folder / "policy.onnx"), folder / "firmware")
    subprocess.run(["make", "-s", "-C", folder / "firmware", f"BUILD={folder}"], check=True)
    return folder / "firmware.elf"


def test_the_objects_add_up_to_what_the_sections_take(elf: Path) -> None:
    found = footprint(elf)
    listed = subprocess.run(["arm-none-eabi-size", elf], capture_output=True, text=True, check=True).stdout
    text, data, bss = map(int, listed.splitlines()[1].split()[:3])
    assert (found.flash_bytes, found.ram_bytes) == (text + data, data + bss)
    assert {"policy.o", "kernels.o", "envelope.o", "server.o", PADDING} <= found.by_object.keys()


def test_a_variable_counts_as_ram_and_code_as_flash(elf: Path) -> None:
    objects = footprint(elf).by_object
    assert objects["kernels.o"][0] > 500
    assert objects["kernels.o"][1] == 0
    assert objects["main_usart.o"][1] > 500  # the server's buffers


def test_an_image_without_its_map_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"-Wl,-Map=firmware\.map"):
        footprint(tmp_path / "firmware.elf")
    (tmp_path / "firmware.map").write_text("no map\n")
    with pytest.raises(ContractError, match="not a map"):
        footprint(tmp_path / "firmware.elf")
