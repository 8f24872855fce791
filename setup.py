"""What pyproject.toml cannot say to colcon: two fields in a form that it and Ubuntu 24.04's setuptools read, and what
ROS looks for under share/."""

from glob import glob
from pathlib import Path

from setuptools import setup

# `colcon build --symlink-install` runs this in a folder of links to top-level packages; the rest is linked here.
for name in ("pyproject.toml", "README.md", "LICENSE", "firmware"):
    if not Path(name).exists():
        Path(name).symlink_to(Path(__file__).resolve().parent / name)

setup(
    license="Apache-2.0",
    python_requires=">=3.11",
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/robostack"]),
        ("share/robostack", ["package.xml"]),
        ("share/robostack/launch", sorted(glob("launch/*.launch.py"))),
        ("share/robostack/launch/foxglove", sorted(glob("launch/foxglove/*.json"))),
    ],
)
