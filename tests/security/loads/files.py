# SPDX-License-Identifier: Apache-2.0
"""Loops over bytes: space, sizes, holes, copies, syncs."""
import os
import time

from security.loads.attack import Attack
from support import system_calls
from support.system_calls import KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE

MIB, TIB = 1 << 20, 1 << 40
PIECE = os.urandom(MIB)
NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
HUGE = 8 * TIB


class Fill(Attack):
    """To the quota with files of all sizes, then all of them go; some of it is held."""
    threads = 2
    SIZES = (1, 4096, 70_000, 900_000, 5 * MIB, 40 * MIB)

    def step(self, thread):
        names, written, held = [], 0, []
        while written < 2 * self.quota:
            name, size = self.path(f"{thread}-{len(names)}"), self.random.choice(self.SIZES)
            names.append(name)
            with self.opened(name, NEW) as fd:
                if fd is None or self.write(fd, size) < size:
                    break
            written += size
            if self.random.random() < 0.1:
                held.append(self.do(os.open, name, os.O_PATH))
        for name in names:
            self.do(os.unlink, name)
        for fd in filter(None, held):
            os.close(fd)

    def write(self, fd, size):
        done = 0
        while done < size:
            got = self.do(os.write, fd, memoryview(PIECE)[:size - done])
            if got is None:
                break
            done += got
        return done


class Beyond(Attack):
    """Past the quota through descriptors that read and write, whose writes the kernel may do alone."""
    threads = 3

    def step(self, thread):
        path = self.path(f"b{thread}")
        with self.opened(path, os.O_RDWR | os.O_CREAT) as fd:
            at = 0
            while fd is not None and at < 2 * self.quota:
                if self.do(os.pwrite, fd, PIECE, at) is None:
                    break
                at += MIB
            if fd is not None and self.random.random() < 0.5:
                self.do(os.ftruncate, fd, 0)
        self.do(os.unlink, path)


class Parked(Attack):
    """Many writers at the quota, while what would free it is held: all of them wait."""
    threads = 60

    def prepare(self):
        for number in range(12):
            name = self.path(f"held{number}")
            self.put_all(name, self.quota // 8)
            self.do(os.open, name, os.O_PATH)
            self.do(os.unlink, name)

    def put_all(self, name, size):
        with self.opened(name, NEW) as fd:
            for _ in range(size // MIB):
                if fd is None or self.do(os.write, fd, PIECE) is None:
                    return

    def step(self, thread):
        name = self.path(f"p{thread}")
        self.put_all(name, 16 * MIB)
        if self.random.random() < 0.1:
            self.do(os.unlink, name)


class Truncate(Attack):
    """Up to 8 TiB and down again; a sealed file shorter and shorter; what is closed at 8 TiB, to be
    read by whatever looks at files later."""

    def step(self, thread):
        path = self.path(f"t{thread}")
        with self.opened(path, os.O_RDWR | os.O_CREAT) as fd:
            if fd is None:
                return
            for _ in range(10):
                self.do(os.ftruncate, fd, HUGE)
                self.do(os.pwrite, fd, b"end", HUGE - 3)
                self.do(os.pwrite, fd, b"middle", self.random.randrange(HUGE))
                self.do(os.ftruncate, fd, self.random.randrange(MIB))
            self.do(os.ftruncate, fd, HUGE)
        sealed = self.path(f"s{thread}")
        self.put(sealed, PIECE * 6, NEW)
        for size in range(6 * MIB - 1, 6 * MIB - 40, -1):
            self.do(os.truncate, sealed, size)
        for size in (HUGE, 100, HUGE, 0):
            self.do(os.truncate, sealed, size)
        kept = self.path(f"kept{self.random.randrange(50)}")
        self.do(os.rename, path, kept)


class Fragments(Attack):
    """Every other block punched out, then looked for hole by hole, zeroed and cut."""
    threads = 3
    SIZE = 16 * MIB

    def step(self, thread):
        with self.opened(self.path(f"f{thread}"), os.O_RDWR | os.O_CREAT) as fd:
            if fd is None:
                return
            for at in range(0, self.SIZE, MIB):
                self.do(os.pwrite, fd, PIECE, at)
            for at in range(0, self.SIZE, 8192):
                self.do(system_calls.fallocate, fd, PUNCH_HOLE | KEEP_SIZE, at, 4096)
            at = 0
            while at is not None and at < self.SIZE:
                at = self.do(os.lseek, fd, at, os.SEEK_DATA)
                if at is not None:
                    at = self.do(os.lseek, fd, at, os.SEEK_HOLE)
            for mode in (ZERO_RANGE, ZERO_RANGE | KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, KEEP_SIZE, 0):
                self.do(system_calls.fallocate, fd, mode, 4096, HUGE)
                self.do(system_calls.fallocate, fd, mode, 1, self.SIZE)
            self.do(os.ftruncate, fd, 0)


class Sparse(Attack):
    """8 TiB of holes, read from end to end by many; files of it that are closed and left."""
    threads = 4

    def prepare(self):
        for number in range(4):
            with self.opened(self.path(f"s{number}"), os.O_RDWR | os.O_CREAT) as fd:
                self.do(os.ftruncate, fd, HUGE)
                self.do(os.pwrite, fd, b"x", HUGE - 1)
            with self.opened(self.path(f"w{number}"), NEW) as fd:
                self.do(os.pwrite, fd, b"x", HUGE - 1)

    def step(self, thread):
        for kind in "sw":
            with self.opened(self.path(f"{kind}{thread}"), os.O_RDONLY) as fd:
                at = self.random.randrange(HUGE)
                for number in range(50):
                    if fd is not None:
                        self.do(os.pread, fd, 4 * MIB, at + number * 4 * MIB)
                        self.do(os.lseek, fd, at, os.SEEK_DATA)
        # As if changed just now: its sums are to be made anew.
        with self.opened(self.path(f"s{thread}"), os.O_WRONLY) as fd:
            if fd is not None:
                self.do(os.pwrite, fd, b"y", self.random.randrange(HUGE))


class TinySyncs(Attack):
    """A few bytes, then fsync, from many at once."""
    threads = 12

    def step(self, thread):
        with self.opened(self.path(f"s{thread}"), os.O_WRONLY | os.O_CREAT) as fd:
            for number in range(20):
                if fd is not None:
                    self.do(os.pwrite, fd, b"0123456789", number * 10)
                    self.do(os.fsync, fd)
        name = self.path(f"n{thread}")
        with self.opened(name, NEW) as fd:
            if fd is not None:
                self.do(os.write, fd, b"x")
                self.do(os.fsync, fd)
        with self.opened(self.home, os.O_RDONLY | os.O_DIRECTORY) as fd:
            if fd is not None:
                self.do(os.fsync, fd)
        self.do(os.unlink, name)


class InPlace(Attack):
    """Files that are on the disk, changed by a byte and closed, again and again."""
    threads = 8

    def prepare(self):
        for thread in range(self.threads):
            with self.opened(self.path(f"i{thread}"), NEW) as fd:
                self.do(os.write, fd, PIECE)
                self.do(os.fsync, fd)

    def step(self, thread):
        path = self.path(f"i{thread}")
        for _ in range(10):
            with self.opened(path, os.O_WRONLY) as fd:
                if fd is not None:
                    self.do(os.pwrite, fd, b"y", self.random.randrange(MIB))
            self.do(os.truncate, path, MIB - 1)
            self.do(os.truncate, path, MIB)
        with self.opened(path, NEW) as fd:  # small and sealed once more
            if fd is not None:
                self.do(os.write, fd, PIECE)
                self.do(os.fsync, fd)


class Copies(Attack):
    """copy_file_range of holes without end, from many at once."""
    threads = 8

    def prepare(self):
        with self.opened(self.path("source"), os.O_RDWR | os.O_CREAT) as fd:
            self.do(os.ftruncate, fd, HUGE)

    def step(self, thread):
        with self.opened(self.path("source"), os.O_RDONLY) as source, \
                self.opened(self.path(f"c{thread}"), NEW) as target:
            if source is None or target is None:
                return
            self.do(os.copy_file_range, source, target, 1 << 30)
            self.do(os.copy_file_range, source, target, 1 << 30, HUGE // 2, HUGE // 2)


class Unlinked(Attack):
    """Files that are read, written and cut after their names have gone, and some without a name."""

    def step(self, thread):
        path = self.path(f"u{thread}")
        for flags in (os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_TMPFILE):
            with self.opened(self.home if flags & os.O_TMPFILE == os.O_TMPFILE else path,
                             flags) as fd:
                if fd is None:
                    continue
                self.do(os.unlink, path)
                for at in range(0, 4 * MIB, MIB):
                    self.do(os.pwrite, fd, PIECE, at)
                self.do(os.pread, fd, 4 * MIB, 0)
                self.do(os.ftruncate, fd, 1000)
                self.do(os.fsync, fd)
                again = self.do(os.open, f"/proc/self/fd/{fd}", os.O_RDONLY)
                if again is not None:
                    self.do(os.pread, again, MIB, 0)
                    os.close(again)


class Bursts(Attack):
    """A crowd of large writes and reads, each small files' neighbour, after a moment of silence."""
    threads = 50

    def step(self, thread):
        path = self.path(f"b{thread}")
        with self.opened(path, NEW) as fd:
            for _ in range(3):
                if fd is not None:
                    self.do(os.write, fd, PIECE)
        with self.opened(path, os.O_RDONLY) as fd:
            if fd is not None:
                self.do(os.pread, fd, 3 * MIB, 0)
        self.do(os.unlink, path)
        time.sleep(0.05)
