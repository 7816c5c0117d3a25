# SPDX-License-Identifier: Apache-2.0
"""Set-uid, set-gid and capabilities go when somebody changes a file's bytes, by whatever call and in
whatever mode the file's I/O has; who may keep them keeps them. The mode is the one that a bare
directory beside the mount ends with, and the kernel goes by it at once."""
import mmap
import os
import shutil
import stat
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m
from support.cases import opened
from support.system_calls import (KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, fallocate, known_mode, splice)
from support.users import as_user

m.need_fuse()
m.limit_time(150)
ALICE, BOB = 4001, 4002
CAPABILITY = struct.pack("<5I", 0x02000001, 1, 0, 0, 0)  # of a program that may CAP_CHOWN
SMALL, LARGE = 100_000, 6 << 20
PAGE = mmap.PAGESIZE


def write_directly(fd):
    with mmap.mmap(-1, PAGE) as page:
        os.pwritev(fd, [page], 0)


def write_by_pipe(fd):
    pipe, into = os.pipe()
    os.write(into, b"spliced")
    splice(pipe, fd, 7)
    os.close(pipe)
    os.close(into)


def opening(flags, call=lambda fd: None):
    def way(path):
        with opened(path, flags) as fd:
            call(fd)
    return way


BY_DESCRIPTOR = {
    "write": lambda fd: os.pwrite(fd, b"a", 0),
    "splice": write_by_pipe,
    "ftruncate": lambda fd: os.ftruncate(fd, 5000),
    "allocate": lambda fd: fallocate(fd, 0, 0, 200_000),
    "allocate behind the end": lambda fd: fallocate(fd, KEEP_SIZE, 8 << 20, 4096),
    "punch": lambda fd: fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 0, PAGE),
    "zero": lambda fd: fallocate(fd, ZERO_RANGE, 0, PAGE),
    "copy": lambda fd: os.copy_file_range(fd, fd, 100, 0, 50_000),
}
WAYS = {
    **{name: opening(os.O_RDWR, call) for name, call in BY_DESCRIPTOR.items()},
    "write only": opening(os.O_WRONLY, BY_DESCRIPTOR["write"]),
    "append": opening(os.O_WRONLY | os.O_APPEND, lambda fd: os.write(fd, b"a")),
    "write directly": opening(os.O_RDWR | os.O_DIRECT, write_directly),
    "write only directly": opening(os.O_WRONLY | os.O_DIRECT, write_directly),
    "truncate": lambda path: os.truncate(path, 5000),
    "open": opening(os.O_WRONLY | os.O_TRUNC),
    "open to read": opening(os.O_RDONLY | os.O_TRUNC),
    "open or make": opening(os.O_WRONLY | os.O_TRUNC | os.O_CREAT),
}
# Who changes a file with which owner and group; groups that he is in besides.
OTHER, OWNER, MEMBER, ROOT = ((BOB, 0, 0, ()), (ALICE, ALICE, BOB, ()), (ALICE, ALICE, BOB, (BOB,)),
                              (0, ALICE, ALICE, ()))


def run_as(uid, call, groups):
    return as_user(uid, call, groups) if uid else call()


class SetIds(unittest.TestCase):
    options = ""
    members = True  # a file that its group may not run loses set-gid unless the writer is in it

    def setUp(self):
        self.store = self.enterContext(m.mounted(self.options))
        self.bare = self.store.root / "bare"
        self.bare.mkdir()
        os.chmod(self.bare, 0o755)
        self.source = self.store.root / "source"
        self.source.write_bytes(b"x" * SMALL)

    def make(self, folder, mode, owner, group, size=SMALL):
        path = str(folder / "file")
        if os.path.exists(path):
            os.unlink(path)
        if size == SMALL:
            shutil.copyfile(self.source, path)
        else:
            with open(path, "wb") as file:
                file.write(b"x" * size)
        os.chown(path, owner, group)
        os.chmod(path, mode)
        return path

    def both(self, way, mode, who, size=SMALL):
        """The modes that a bare directory and the mount end with."""
        writer, owner, group, groups = who
        modes = []
        for folder in (self.bare, self.store.path):
            path = self.make(folder, mode, owner, group, size)
            run_as(writer, lambda path=path: way(path), groups)
            modes.append(oct(stat.S_IMODE(known_mode(path))))
            self.assertEqual(oct(stat.S_IMODE(os.stat(path).st_mode)), modes[-1], path)
        return modes

    def test_every_way(self):
        modes = (0o6777, 0o6666, 0o2666) if self.members else (0o6777,)
        for mode in modes:
            for who in (OTHER, OWNER, MEMBER, ROOT):
                for name, way in WAYS.items():
                    with self.subTest(way=name, mode=oct(mode), who=who):
                        wanted, found = self.both(way, mode, who)
                        self.assertEqual(found, wanted)

    def test_every_way_of_a_large_file(self):
        for name, way in WAYS.items():
            with self.subTest(way=name):
                wanted, found = self.both(way, 0o6777, OTHER, LARGE)
                self.assertEqual((found, wanted), ("0o777", "0o777"))

    def test_set_while_it_is_open(self):
        """Also where the kernel writes by itself: the file had no set-uid when it was opened."""
        for flags in (os.O_RDWR, os.O_WRONLY):
            for name, call in BY_DESCRIPTOR.items():
                if name == "copy" and flags == os.O_WRONLY:
                    continue
                path = self.make(self.store.path, 0o666, ALICE, ALICE, LARGE)
                with self.subTest(way=name, flags=flags), opened(path, flags) as fd:
                    as_user(BOB, lambda call=call, fd=fd: call(fd))
                    os.chmod(path, 0o6777)
                    call(fd)
                    self.assertEqual(stat.S_IMODE(known_mode(path)), 0o6777, "root keeps them")
                    as_user(BOB, lambda call=call, fd=fd: call(fd))
                    self.assertEqual(oct(stat.S_IMODE(known_mode(path))), "0o777")

    def test_capabilities(self):
        """They go whoever writes, root as well."""
        for size in (SMALL, LARGE):
            for name, way in WAYS.items():
                path = self.make(self.store.path, 0o777, 0, 0, size)
                os.setxattr(path, "security.capability", CAPABILITY)
                way(path)
                self.assertNotIn("security.capability", os.listxattr(path), (name, size))
        for name, call in BY_DESCRIPTOR.items():
            path = self.make(self.store.path, 0o777, 0, 0, LARGE)
            with opened(path, os.O_RDWR) as fd:
                call(fd)
                os.setxattr(path, "security.capability", CAPABILITY)
                call(fd)
                self.assertNotIn("security.capability", os.listxattr(path), (name, "while open"))

    def test_directories_keep_them(self):
        folder = self.store.path / "folder"
        folder.mkdir()
        os.chown(folder, ALICE, ALICE)
        os.chmod(folder, 0o2775)
        as_user(ALICE, lambda: os.chown(folder, -1, -1))
        os.utime(folder)
        self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), 0o2775)


class WithoutPassthrough(SetIds):
    options = "without=passthrough"


class WithoutFeatures(SetIds):
    """The kernel takes them off by itself, and knows nothing of groups then."""
    options = "without=all"
    members = False


if __name__ == "__main__":
    unittest.main()
