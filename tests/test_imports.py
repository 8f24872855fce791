"""Claims: imports go one way, and a robot that runs a policy never loads a trainer."""

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {
    "robostack": ROOT / "robostack",
    "robostack_sim": ROOT / "sim/robostack_sim",
    "robostack_real": ROOT / "real/robostack_real",
}
ALLOWED = {"robostack": set(), "robostack_sim": {"robostack"}, "robostack_real": {"robostack"}}
FILES = [(room, path) for room, folder in ROOMS.items() for path in sorted(folder.rglob("*.py"))]
HEAVY = {"torch", "warp", "onnx", "onnxruntime", "pydantic", "matplotlib", "numpy", "tyro", "rich"}


def imported(source: str) -> set[str]:
    """Top-level packages a file imports anywhere, inside functions too; `import_module("...")` counts."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            name = node.args[0] if node.args else None
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                found.add(name.value.partition(".")[0])
    return found


def violations(room: str, path: Path, source: str) -> set[str]:
    allowed = ALLOWED[room] | {room}
    if room == "robostack_real" and "twins" in path.parts:
        allowed |= {"robostack_sim"}
    return imported(source) & ROOMS.keys() - allowed


@pytest.mark.parametrize(("room", "path"), FILES, ids=[str(p.relative_to(ROOT)) for _, p in FILES])
def test_a_file_imports_only_what_its_room_may(room, path):
    assert violations(room, path, path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    "source",
    [
        "import robostack_sim",
        "def f():\n    from robostack_sim.quadrotor import task",
        "import_module('robostack_sim.quadrotor')",
    ],
)
def test_a_forbidden_import_is_found_wherever_it_hides(source):
    assert violations("robostack", Path("robostack/spec.py"), source) == {"robostack_sim"}
    assert violations("robostack_real", Path("real/robostack_real/devices/a.py"), source) == {"robostack_sim"}
    assert violations("robostack_real", Path("real/robostack_real/twins/a.py"), source) == set()


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*{{m.partition('.')[0] for m in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


@pytest.mark.parametrize(
    "statement",
    ["import robostack", "import robostack.cli", "from robostack import make", "import robostack.run_folder"],
)
def test_importing_the_shell_loads_nothing_heavy(statement):
    assert loaded_by(statement) & HEAVY == set()


def test_running_a_policy_loads_no_trainer():
    assert loaded_by("from robostack import load, PolicySpec") & {"torch", "warp", "matplotlib", "tensorboard"} == set()


def test_every_public_name_has_a_home_that_exists():
    import robostack

    for name in robostack.__all__:
        module = ROOT / (robostack._HOME[name].replace(".", "/") + ".py")
        assert name in {n.name for n in ast.parse(module.read_text(encoding="utf-8")).body if hasattr(n, "name")}
    assert robostack.__version__ == importlib.metadata.version("robostack")
    with pytest.raises(AttributeError, match="no attribute 'polcy'"):
        robostack.polcy  # noqa: B018
