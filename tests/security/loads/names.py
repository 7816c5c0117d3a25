# SPDX-License-Identifier: Apache-2.0
"""Loops over names: directories, links, attributes, listings."""
import contextlib
import ctypes
import fcntl
import os

from security.loads import hashes
from security.loads.attack import Attack
from security.loads.victim import SHARED
from support import system_calls

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


class Deep(Attack):
    """Directories that nest deeper all the time; others move and files are made at the bottom, where
    each walk to the root is long."""
    threads = 8
    FIRST, MORE, MOST = 500, 200, 20_000

    def prepare(self):
        self.ends = [os.open(self.home, DIRECTORY)] * 2
        self.depth = 0
        self.dig(self.FIRST)

    def dig(self, levels):
        """All directories stay open: other threads may be about to use them."""
        for _ in range(levels):
            for side, end in enumerate(self.ends):
                self.do(os.mkdir, f"d{side}", dir_fd=end)
                deeper = self.do(os.open, f"d{side}", DIRECTORY, dir_fd=end)
                if deeper is None:
                    self.depth = self.MOST
                    return
                self.ends[side] = deeper
            self.depth += 1

    def step(self, thread):
        if thread == 0 and self.depth < self.MOST:
            self.dig(self.MORE)
        left, right = self.ends
        name = f"t{thread}"
        self.do(os.mkdir, name, dir_fd=left)
        self.do(os.rename, name, name, src_dir_fd=left, dst_dir_fd=right)
        self.do(os.rename, name, name, src_dir_fd=right, dst_dir_fd=left)
        self.do(os.rmdir, name, dir_fd=left)
        with self.opened(f"f{thread}", NEW, dir_fd=right) as fd:
            if fd is not None:
                self.do(os.write, fd, b"x" * 100)
        self.do(os.unlink, f"f{thread}", dir_fd=right)


class Renames(Attack):
    """Over each other, in exchange, across directories that are moved themselves."""
    FOLDERS, FILES = 8, 16

    def prepare(self):
        for folder in range(self.FOLDERS):
            self.do(os.makedirs, self.path(folder, "inner"), exist_ok=True)
            for file in range(self.FILES):
                self.put(self.path(folder, f"f{file}"), b"x" * 3000)

    def step(self, thread):
        a, b = self.random.sample(range(self.FOLDERS), 2)
        x, y = self.random.randrange(self.FILES), self.random.randrange(self.FILES)
        moved = self.do(os.rename, self.path(a, f"f{x}"), self.path(b, f"f{y}"))
        if moved is None and self.random.random() < 0.05:
            self.prepare()  # some have ended up inside of others
        self.put(self.path(a, f"f{x}"), b"y" * 5000)
        exchange, names = system_calls.EXCHANGE, (self.path(a), self.path(b))
        self.do(system_calls.rename2, *names, exchange)
        self.do(system_calls.rename2, self.path(a, "inner"), self.path(b, "inner"), exchange)
        self.do(os.rename, self.path(a), self.path(b, "inner", f"moved{thread}"))
        self.do(os.rename, self.path(b, "inner", f"moved{thread}"), self.path(a))
        self.do(os.rename, self.path(b), self.path(b, "inner", "itself"))
        self.do(system_calls.rename2, self.path(a, "f0"), self.path(b, "f0"),
                system_calls.NOREPLACE)


class Links(Attack):
    """Thousands of names of one file, chains of symbolic links, files without a name that get one."""
    CHAIN, NAMES = 39, 300

    def prepare(self):
        self.put(self.path("file"), b"x" * 10_000)
        self.do(os.symlink, "file", self.path("s0"))
        for number in range(1, self.CHAIN):
            self.do(os.symlink, self.path(f"s{number - 1}"), self.path(f"s{number}"))
        self.do(os.symlink, "loop", self.path("loop"))

    def step(self, thread):
        folder = self.path(f"links{thread}")
        self.do(os.mkdir, folder)
        for number in range(self.NAMES):
            self.do(os.link, self.path("file"), os.path.join(folder, f"{number}"))
            self.do(os.stat, self.path(f"s{number % self.CHAIN}"))
            self.do(os.symlink, "t" * 4000, os.path.join(folder, f"s{number}"))
            if number % 10 == 0:
                self.do(os.stat, self.path("loop"))
        for number in range(self.NAMES):
            with self.opened(folder, os.O_TMPFILE | os.O_RDWR) as fd:
                if fd is not None:
                    self.do(os.write, fd, b"x" * 100)
                    self.do(system_calls.link_open, fd, os.path.join(folder, f"t{number}"))
        for name in self.do(os.listdir, folder) or ():
            self.do(os.unlink, os.path.join(folder, name))
        self.do(os.rmdir, folder)


class Xattrs(Attack):
    """Hundreds of names with the largest values, set, read, listed and removed."""
    NAMES, SIZE = 200, 64 << 10

    def step(self, thread):
        file = self.path(f"x{thread}")
        self.put(file, b"x")
        value = self.random.randbytes(self.SIZE)
        for number in range(self.NAMES):
            name = f"user.{number:03}" + "n" * 240
            if self.do(os.setxattr, file, name, value) is None:
                continue
            self.do(os.getxattr, file, name)
            self.do(os.setxattr, file, name, value[:self.random.randrange(self.SIZE)])
        for _ in range(20):
            self.do(os.listxattr, file)
        if self.random.random() < 0.7:  # else its names stay until something replaces them
            for number in range(self.NAMES):
                self.do(os.removexattr, file, f"user.{number:03}" + "n" * 240)
        if self.random.random() < 0.5:
            self.do(os.unlink, file)


class Collide(Attack):
    """Names that meet at one place of a directory, so that each look at it is a long one; beside the
    name that the victim uses, where the offsets give that away."""
    threads = 6
    LEARN = 6

    def prepare(self):
        self.names = []
        probe = self.path("probe")
        self.do(os.mkdir, probe)
        for number in range(self.LEARN):
            self.put(os.path.join(probe, f"learn{number:03}"), b"")
        known = {name: at for name, at in hashes.cookies(probe).items() if len(name) == 8}
        key = hashes.find_key(known) if len(known) > 2 else None
        if key is not None:
            self.names = list(hashes.collisions(key, SHARED.encode()))
        self.names += [b"%08d" % number for number in range(300 - len(self.names))]
        for name in self.names[:self.LEARN + 300]:
            self.do(os.mkdir, os.path.join(os.fsencode(self.root), name))

    def step(self, thread):
        for folder in (os.fsencode(self.home), os.fsencode(self.root)):
            for name in self.names[thread::self.threads]:
                path = os.path.join(folder, name)
                self.do(os.stat, path)
                self.do(os.mkdir, path)
                if folder != os.fsencode(self.root):
                    self.do(os.rmdir, path)


class Listings(Attack):
    """A directory that grows and shrinks by thousands of names, listed by many from everywhere."""
    processes, threads = 2, 6
    NAMES, MOST = 1000, 30_000

    def prepare(self):
        self.made = 0
        self.offsets = [0]

    def step(self, thread):
        if thread == 0:
            return self.fill_and_empty()
        with self.opened(self.shared, DIRECTORY) as fd:
            for _ in range(30):
                if fd is not None:
                    self.do(os.lseek, fd, self.random.choice(self.offsets), os.SEEK_SET)
                    self.getdents(fd)
        if thread == 1:
            self.do(os.listdir, self.shared)
        if thread == 2:
            self.do(self.stat_all)
        return None

    def getdents(self, fd):
        buffer = ctypes.create_string_buffer(256 << 10)
        got = system_calls.libc.syscall(hashes.GETDENTS64, fd, buffer, len(buffer))
        if got > 24:
            offset = int.from_bytes(buffer.raw[8:16], "little", signed=True)
            self.offsets = self.offsets[-50:] + [offset]
            self.tally.add(0)

    def stat_all(self):
        with os.scandir(self.shared) as entries:
            for entry in entries:
                entry.stat()

    def fill_and_empty(self):
        name = f"{self.slot}-{{}}".format
        for _ in range(self.NAMES):
            self.do(os.mknod, os.path.join(self.shared, name(self.made)))
            self.made += 1
        if self.made > self.MOST or self.random.random() < 0.2:
            for number in range(max(0, self.made - 3 * self.NAMES), self.made):
                self.do(os.unlink, os.path.join(self.shared, name(number)))


class Locks(Attack):
    """A crowd that asks for what costs little: space, attributes, locks, names that are not there,
    and watches its own doing."""
    threads = 100

    def prepare(self):
        self.put(self.path("file"), b"x" * 100)
        watch = system_calls.libc.inotify_init()
        for folder in (self.root, self.home):
            system_calls.libc.inotify_add_watch(watch, os.fsencode(folder), 0xFFF)

    def step(self, thread):
        self.do(os.statvfs, self.root)
        self.do(os.stat, self.path(f"no{self.random.random()}"))
        with self.opened(self.path("file"), os.O_RDWR) as fd:
            if fd is None:
                return
            self.do(fcntl.flock, fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            with contextlib.suppress(OSError):
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, thread)
            self.do(os.fchmod, fd, 0o600 + thread % 64)
            self.do(os.utime, fd)
            self.do(os.listxattr, fd)
