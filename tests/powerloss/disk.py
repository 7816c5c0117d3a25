# SPDX-License-Identifier: Apache-2.0
"""A disk that records what reaches it, and disks as a loss of power would leave them."""
import bisect
import contextlib
import ctypes
import mmap
import os
import pathlib
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m

SIZE = 512 << 20
SECTOR = 512
PAGE = 4096
WRITE, FLUSH, ZERO = 1, 2, 3
CLONE_NEWNS = 0x20000
HEADER = struct.Struct("<IIQQ")  # kind, time, offset, length; as recording_disk.cc writes it


def run(*command, good=(0,)):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode in good, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def unshare_mounts():
    """What this process mounts from now on only it and its children see."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    run("mount", "--make-rprivate", "/")


def make_file_system(path, journal):
    has = "has_journal" if journal else "^has_journal"
    run("mkfs.ext4", "-q", "-F", "-O", has, "-E", "lazy_itable_init=0,nodiscard", path)


@contextlib.contextmanager
def file_system(image, mountpoint, options="rw"):
    """The ext4 of an image file, mounted through a loop device."""
    mountpoint.mkdir(exist_ok=True)
    device = run("losetup", "--find", "--show", image)
    try:
        run("mount", "-t", "ext4", "-o", options, device, mountpoint)
    finally:
        run("losetup", "--detach", device)  # once nothing uses it any more, whoever dies
    try:
        yield mountpoint
    finally:
        run("umount", mountpoint)


class RecordingDisk:
    """Makes `folder`/disk from `folder`/image; `folder`/log has what reached it."""

    def __init__(self, program, folder):
        self.mountpoint = folder / "recording"
        self.image, self.log = folder / "image", folder / "log"
        self.disk = self.mountpoint / "disk"
        self.mountpoint.mkdir()
        with open(self.image, "wb") as image:
            image.truncate(SIZE)
        self.process = subprocess.Popen([program, self.mountpoint, self.image, self.log])
        m.wait_until(lambda: m.is_mounted(self.mountpoint), 10, "the recording disk", 0.01)

    def position(self):
        """Where in the log things are now: all that has been answered is before it."""
        return os.stat(self.log).st_size

    def close(self):
        # A loop device lets go of its file a moment after it was detached.
        subprocess.run(["umount", "--lazy", self.mountpoint], check=False)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


class Log:
    """What a recording disk wrote down. Record n ends at ends[n]."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self.records, self.ends, self.times = [], [], []
        at = 0
        while at + HEADER.size <= len(self.bytes):
            kind, time, offset, length = HEADER.unpack_from(self.bytes, at)
            at += HEADER.size
            self.records.append((kind, offset, length, at))
            at += length if kind == WRITE else 0
            self.ends.append(at)
            self.times.append(time)

    def between(self, start, end):
        """The numbers of the records that are whole between two positions."""
        return range(bisect.bisect_right(self.ends, start), bisect.bisect_right(self.ends, end))

    def before(self, time):
        """How many records there were at a time, in milliseconds."""
        return bisect.bisect_right(self.times, time)

    def apply(self, number, file, start=0, length=None):
        """Does the record, or `length` bytes of it from `start`."""
        kind, offset, whole, at = self.records[number]
        length = whole - start if length is None else length
        if kind == WRITE:
            os.pwrite(file, self.bytes[at + start:at + start + length], offset + start)
        elif kind == ZERO:
            os.pwrite(file, bytes(length), offset + start)


class Replay:
    """Images as they are after ever later records."""

    def __init__(self, log, folder):
        self.log = log
        self.base, self.image = folder / "base", folder / "crashed"
        self.done = 0  # records that are in base
        with open(self.base, "wb") as base:
            base.truncate(SIZE)

    def lose_power_after(self, count, chance, tear):
        """Makes `image`: of the first `count` records those up to the last flush, of the others what
        chance lets through. `tear` is the bytes that reach the disk together."""
        flushed = count
        while flushed > self.done and self.log.records[flushed - 1][0] != FLUSH:
            flushed -= 1
        base = os.open(self.base, os.O_WRONLY)
        for number in range(self.done, flushed):
            self.log.apply(number, base)
        os.close(base)
        self.done = max(self.done, flushed)
        run("cp", "--reflink=auto", self.base, self.image)
        image = os.open(self.image, os.O_WRONLY)
        part = chance.choice((0, 0.2, 0.5, 0.8, 1))
        for number in range(self.done, count):
            self.let_through(number, image, chance, part, tear)
        os.close(image)
        return count - self.done

    def let_through(self, number, image, chance, part, tear):
        """A write as a whole or not at all, or piece by piece."""
        length = self.log.records[number][2]
        if chance.random() < 0.5:
            if chance.random() < part:
                self.log.apply(number, image)
            return
        for start in range(0, length, tear):
            if chance.random() < part:
                self.log.apply(number, image, start, min(tear, length - start))
