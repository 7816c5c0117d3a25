# SPDX-License-Identifier: Apache-2.0
"""statx(2) has the time at which a file was made, whatever happens to it later."""
import ctypes
import os
import pathlib
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m
from support.cases import OnStores, opened
from support.file_handles import drop_caches
from support.system_calls import AT_FDCWD, libc

m.need_fuse()
m.limit_time(60)
MIB = 1 << 20
NO_FOLLOW, EMPTY_PATH = 0x100, 0x1000
BASIC, BIRTH = 0x7ff, 0x800


class Time(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_int64), ("nanoseconds", ctypes.c_uint32),
                ("reserved", ctypes.c_int32)]

    def in_ns(self):
        return self.seconds * 10**9 + self.nanoseconds


class Statx(ctypes.Structure):
    _fields_ = [("mask", ctypes.c_uint32), ("blksize", ctypes.c_uint32),
                ("attributes", ctypes.c_uint64), ("nlink", ctypes.c_uint32),
                ("uid", ctypes.c_uint32), ("gid", ctypes.c_uint32), ("mode", ctypes.c_uint16),
                ("spare", ctypes.c_uint16), ("ino", ctypes.c_uint64), ("size", ctypes.c_uint64),
                ("blocks", ctypes.c_uint64), ("attributes_mask", ctypes.c_uint64),
                ("atime", Time), ("btime", Time), ("ctime", Time), ("mtime", Time),
                ("rdev_major", ctypes.c_uint32), ("rdev_minor", ctypes.c_uint32),
                ("dev_major", ctypes.c_uint32), ("dev_minor", ctypes.c_uint32),
                ("rest", ctypes.c_uint64 * 14)]


def statx(path, fd=AT_FDCWD, mask=BASIC | BIRTH):
    found = Statx()
    flags = NO_FOLLOW if fd == AT_FDCWD else EMPTY_PATH
    if libc.statx(fd, os.fsencode(path), flags, mask, ctypes.byref(found)) != 0:
        raise OSError(ctypes.get_errno(), f"statx {path}")
    return found


def born(path):
    found = statx(path)
    assert found.mask & BIRTH, f"no time of birth: {path}"
    return found.btime.in_ns()


class BirthTime(OnStores):
    def setUp(self):
        self.store = self.mounted("")
        if "birth_time" not in self.store.status()["kernel"].split("off:")[0]:
            self.skipTest("this kernel has no STATX")
        self.root = pathlib.Path(self.store.path)

    def made(self, path, make):
        before = time.time_ns() - 10**7  # the kernel's clock may be a tick behind
        make(path)
        after = time.time_ns() + 10**7
        self.assertTrue(before <= born(path) <= after, path)
        return born(path)

    def test_is_that_of_every_kind_of_inode(self):
        for name, make in {
                "small": lambda path: path.write_bytes(b"1"),
                "large": lambda path: path.write_bytes(bytes(5 * MIB)),
                "folder": os.mkdir, "pipe": os.mkfifo,
                "link": lambda path: os.symlink("nowhere", path)}.items():
            with self.subTest(name):
                self.made(self.root / name, make)
        shown = subprocess.run(["stat", "-c", "%W", self.root / "small"], capture_output=True,
                               text=True, check=True).stdout
        self.assertEqual(int(shown), born(self.root / "small") // 10**9)
        self.ended_well(self.store)

    def test_stays_whatever_happens_to_the_file(self):
        path, moved = self.root / "file", self.root / "moved"
        when = self.made(path, lambda path: path.write_bytes(b"1"))
        path.write_bytes(bytes(5 * MIB))
        os.utime(path, (1, 1))
        os.chmod(path, 0o600)
        os.setxattr(path, "user.a", b"b")
        os.rename(path, moved)
        os.link(moved, path)
        self.assertEqual(born(path), when)
        drop_caches()
        self.assertEqual(born(path), when)
        self.store.umount()
        self.store.mount()
        self.assertEqual(born(moved), when)
        if self.store.goes_on():
            self.store.kill_worker()
            drop_caches()
            self.assertEqual(born(moved), when)
        self.ended_well(self.store)

    def test_comes_with_what_stat_says(self):
        """Also while the kernel writes to the file by itself."""
        path = self.root / "file"
        with opened(path, os.O_RDWR | os.O_CREAT) as fd:
            when = born(path)
            for size in (MIB, 6 * MIB):
                os.pwrite(fd, b"x", size - 1)
                for found in (statx(path), statx("", fd)):
                    self.assertEqual(found.btime.in_ns(), when)
                    self.assertEqual(found.size, size)
                    self.same(found, os.stat(path))
        for name in ("", "file", ".spillfs", ".spillfs/config"):
            self.same(statx(self.root / name), os.stat(self.root / name))
        os.mknod(self.root / "device", 0o20600, os.makedev(300, 70000))
        found = statx(self.root / "device")
        self.assertEqual((found.rdev_major, found.rdev_minor), (300, 70000))
        self.ended_well(self.store)

    def same(self, found, stat):
        self.assertEqual(
            (found.ino, found.mode, found.nlink, found.uid, found.gid, found.size, found.blocks,
             found.blksize, os.makedev(found.dev_major, found.dev_minor)),
            (stat.st_ino, stat.st_mode, stat.st_nlink, stat.st_uid, stat.st_gid, stat.st_size,
             stat.st_blocks, stat.st_blksize, stat.st_dev))
        if stat.st_ino < 1 << 62:  # those of the control files are now
            self.assertEqual([found.atime.in_ns(), found.mtime.in_ns(), found.ctime.in_ns()],
                             [stat.st_atime_ns, stat.st_mtime_ns, stat.st_ctime_ns])

    def test_is_asked_for_once(self):
        path = self.root / "file"
        path.write_bytes(b"1")
        before = self.store.status()["requests"].get("STATX", 0)
        for _ in range(20):
            born(path)
            os.stat(path)
        self.assertLessEqual(self.store.status()["requests"]["STATX"] - before, 1)
        self.ended_well(self.store)


class Without(OnStores):
    def test_the_feature(self):
        store = self.mounted("without=birth_time")
        path = pathlib.Path(store.path) / "file"
        path.write_bytes(b"1")
        found = statx(path)
        self.assertEqual((found.mask & BIRTH, found.size), (0, 1))
        self.ended_well(store)


if __name__ == "__main__":
    unittest.main(verbosity=2)
