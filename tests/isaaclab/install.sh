#!/bin/sh
# Makes .venv-isaaclab with isaaclab 3.0.0 and what its Newton backend needs on a CPU, and robostack itself.
#
# isaaclab's wheel asks for Python 3.12 and for much that only Isaac Sim, cameras or planners need (open3d, pin, numba,
# a torch of its own): so it is installed without its dependencies, and what the physics imports is named here. With
# another Python it runs as well, as far as this test goes. PYTHON chooses the interpreter.
set -eu
cd "$(dirname "$0")/../.."
VENV=.venv-isaaclab
state=$(cat tests/isaaclab/install.sh constraints.txt | cksum)
[ -f $VENV/state ] && [ "$(cat $VENV/state)" = "$state" ] && exit 0

python() {
    for candidate in ${PYTHON:-python3.12 "$HOME"/.pyenv/versions/3.12.*/bin/python python3 python3.13 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "isaaclab: needs Python 3.12, or 3.11 at least; set PYTHON" >&2
    exit 1
}

interpreter=$(python)
echo "making $VENV with $interpreter (a few gigabytes where torch has no CPU wheel at hand)" >&2
"$interpreter" -m venv $VENV
pip() { $VENV/bin/python -m pip --disable-pip-version-check install -q "$@"; }
pip torch==2.13.0 numpy==2.4.6 warp-lang==1.17.0 'newton[sim]==1.6.1' usd-exchange==3.0.1 omniverseclient==2.74.0 \
    newton-usd-schemas hydra-core lazy_loader prettytable toml trimesh h5py scipy einops gymnasium==1.4.0 \
    tqdm filelock requests packaging psutil pytest
# what robostack needs besides, at CI's versions; its warp-lang stays behind, as isaaclab wants an older one
pip -c constraints.txt onnx onnxruntime pydantic pyserial rfc8785 rich tyro tensorboard
pip --no-deps -e .
pip --no-deps --ignore-requires-python isaaclab==3.0.0
echo "$state" >$VENV/state
