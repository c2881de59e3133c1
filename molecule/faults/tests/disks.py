"""Disks that lose what was not written: the hosts' data lies on block devices, and a power cut leaves what they hold.

    python3 disks.py make NAME MIB DIRECTORY…      python3 disks.py remove NAME…

Each is an ext4 file system in an image, mounted here and bound into its container (`container_volumes`). What a program
has written is in the kernel's memory for some seconds before it is in the image, as with a real disk. Where a machine
has no loop devices, the directories are plain ones.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

# One place for all clones, like the containers' names: each removes what an interrupted run of another has left.
DISKS = Path("/var/tmp/strandline-disks")  # noqa: S108 - root's alone


def _image(name: str) -> Path:
    return DISKS / f"{name}.ext4"


def _mount(name: str) -> bool:
    """Whether there is a loop device for it. The journal of a file system that lost its power is replayed."""
    mount = ["mount", "-o", "loop", str(_image(name)), str(DISKS / name)]
    return subprocess.run(mount, capture_output=True, check=False).returncode == 0


def _unmount(name: str) -> None:
    if exists(name):
        subprocess.run(["umount", str(DISKS / name)], check=True)


def make(name: str, mib: int, directories: list[str]) -> None:
    """An empty disk with some directories, mounted; one that is there already stays."""
    DISKS.mkdir(mode=0o700, exist_ok=True)
    (DISKS / name).mkdir(exist_ok=True)
    if not exists(name):
        with _image(name).open("wb") as image:
            image.truncate(mib << 20)
        if not shutil.which("mkfs.ext4"):
            print("no mkfs.ext4: the data lies in a directory", file=sys.stderr)
        else:
            subprocess.run(["mkfs.ext4", "-q", "-F", str(_image(name))], check=True)
            if not _mount(name):
                print("no loop devices: the data lies in a directory", file=sys.stderr)
    for directory in directories:
        (DISKS / name / directory).mkdir(exist_ok=True)


def remove(name: str) -> None:
    """Remove a disk with all that it holds, or what an interrupted run has left of it."""
    _unmount(name)
    subprocess.run(["rm", "-rf", "--one-file-system", str(DISKS / name), str(_image(name))], check=True)


def exists(name: str) -> bool:
    """Whether there is such a disk: a block device, not only directories."""
    return (DISKS / name).is_mount()


def cut(name: str) -> None:
    """Put what the device had at this moment in place of the disk, whose host has just ended.

    The mount on this side keeps the kernel from writing everything at the end of the one inside.
    """
    left = DISKS / f"{name}.left"
    subprocess.run(["cp", "--sparse=always", str(_image(name)), str(left)], check=True)
    _unmount(name)
    left.replace(_image(name))
    if not _mount(name):
        raise RuntimeError(f"what the power cut left of {name} can't be mounted")


if __name__ == "__main__":
    verb, *arguments = sys.argv[1:]
    if verb == "make":
        make(arguments[0], int(arguments[1]), arguments[2:])
    else:
        for one in arguments:
            remove(one)
