# SPDX-License-Identifier: Apache-2.0
"""Loops over open files: many of them, mapped ones, those of clients that are killed, programs, and
the mount's own control files."""
import contextlib
import ctypes
import mmap
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import time

from security.loads.attack import Attack
from security.loads.files import MIB, NEW, PIECE
from security.loads.uring import Ring
from support import system_calls
from support.users import die_with_parent


class Handles(Attack):
    """As many open files as the processes may have, none closed but by their end."""
    processes, threads = 6, 1
    FILES = 300

    def prepare(self):
        for number in range(self.FILES):
            self.put(self.path(number), b"x" * 100 * number)

    def step(self, thread):
        flags = (os.O_RDONLY, os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_PATH)
        refused = 0
        while refused < 10:
            path = self.path(self.random.randrange(self.FILES))
            fd = self.do(os.open, path, self.random.choice(flags))
            refused += fd is None
        for _ in range(100):
            self.do(os.stat, self.path(self.random.randrange(self.FILES)))
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)


class OneFile(Attack):
    """A large file that many open for a moment, some to read, some to write: how the kernel does its
    I/O changes with each of them."""
    SIZE = 9

    def step(self, thread):
        path = os.path.join(self.shared, "one")
        if thread == 0:
            with self.opened(path, NEW, 0o666) as fd:
                for _ in range(self.SIZE):
                    if fd is not None:
                        self.do(os.write, fd, PIECE)
            time.sleep(0.02)
        flags = os.O_WRONLY if thread == 1 else os.O_RDONLY
        with self.opened(path, flags) as fd:
            if fd is not None and thread == 1:
                self.do(os.pwrite, fd, b"x", self.SIZE * MIB - 1)
            elif fd is not None and thread == 2:
                self.do(os.pread, fd, 1 << 16, 0)
                time.sleep(0.002)


class Unsealed(Attack):
    """Thousands of new files with a byte each, none closed: each takes a block of the memory for
    bytes that are on no disk yet."""
    threads = 1
    FILES = 2000

    def step(self, thread):
        held = []
        for number in range(self.FILES):
            fd = self.do(os.open, self.path(number), NEW)
            if fd is not None:
                self.do(os.write, fd, b"x")
                held.append(fd)
        for _ in range(3):
            for fd in held:
                self.do(os.write, fd, b"y" * 100)
        for fd in held:
            self.do(os.close, fd)


class Mapped(Attack):
    """Shared mappings that many write while others cut the file below them: SIGBUS ends them."""
    processes, threads = 3, 2
    SIZE = 16 * MIB

    def step(self, thread):
        path = os.path.join(self.shared, f"m{self.random.randrange(2)}")
        with self.opened(path, os.O_RDWR | os.O_CREAT, 0o666) as fd:
            if fd is None:
                return
            self.do(os.ftruncate, fd, self.SIZE)
            mapped = self.map(fd)
            if mapped is None:
                return
            for at in range(0, self.SIZE, 3 * mmap.PAGESIZE):
                mapped[at] = at % 251
            self.do(mapped.flush)
            if self.random.random() < 0.3:
                self.do(os.ftruncate, fd, self.random.randrange(self.SIZE))
            if self.random.random() < 0.2:
                self.do(os.unlink, path)
            mapped.close()

    def map(self, fd):
        with contextlib.suppress(ValueError):  # it has been cut meanwhile
            return self.do(mmap.mmap, fd, self.SIZE)
        return None


class Direct(Attack):
    """O_DIRECT with and without the alignment that it wants, beside writes through the cache."""
    SIZE = 8 * MIB

    def prepare(self):
        self.memory = mmap.mmap(-1, MIB + mmap.PAGESIZE)

    def step(self, thread):
        path = self.path(f"d{self.random.randrange(3)}")
        aligned, odd = memoryview(self.memory)[:MIB], memoryview(self.memory)[7:MIB - 11]
        with self.opened(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT) as direct, \
                self.opened(path, os.O_RDWR | os.O_CREAT) as cached:
            if direct is None or cached is None:
                return
            for number in range(16):
                at = self.random.randrange(self.SIZE // MIB) * MIB
                self.do(os.pwritev, direct, [aligned], at)
                self.do(os.pwritev, direct, [odd], at + 13)
                self.do(os.pwrite, cached, PIECE[:50_001], at + 77)
                self.do(os.preadv, direct, [aligned], at)
                self.do(os.preadv, cached, [odd], at + number)
        if self.random.random() < 0.3:
            self.do(os.unlink, path)


class Uring(Attack):
    """Rings of hundreds of requests that all wait at once."""
    threads = 2
    DEPTH = 256

    def prepare(self):
        self.memory = mmap.mmap(-1, MIB)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.rings = [Ring(self.DEPTH) for _ in range(self.threads)]

    def step(self, thread):
        ring = self.rings[thread]
        with self.opened(self.path(f"u{thread}"), os.O_RDWR | os.O_CREAT) as fd:
            if fd is None:
                return
            requests = []
            for number in range(self.DEPTH):
                kind = self.random.choice((Ring.READ, Ring.WRITE, Ring.WRITE, Ring.FSYNC))
                place = self.random.randrange(8) * MIB, self.address, 4096 << self.random.randrange(7)
                requests.append((kind, fd, *((0, 0, 0) if kind == Ring.FSYNC else place)))
            for result in self.do(ring.run, requests) or ():
                self.tally.add(max(0, -result))
        if self.random.random() < 0.3:
            self.do(os.unlink, self.path(f"u{thread}"))


class Killed(Attack):
    """Clients that die in the middle of whatever they ask for."""
    processes, threads = 3, 1

    def step(self, thread):
        ours = os.getpid()
        child = os.fork()
        if child == 0:
            die_with_parent(ours)
            calls = (self.write, self.rename, self.sync, self.map, self.attributes, self.list)
            call = calls[self.random.randrange(len(calls))]
            for number in range(10_000):
                call(number)
            os._exit(0)
        self.random.random()  # the next child shall do something else
        time.sleep(self.random.random() * 0.03)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    def write(self, number):
        with self.opened(self.path(f"w{number % 5}"), NEW) as fd:
            for _ in range(10):
                if fd is not None:
                    self.do(os.write, fd, PIECE)

    def rename(self, number):
        self.put(self.path("r"), b"x")
        self.do(os.rename, self.path("r"), self.path(f"r{number % 7}"))
        self.do(os.unlink, self.path(f"r{number % 3}"))

    def sync(self, number):
        with self.opened(self.path(f"s{number % 5}"), NEW) as fd:
            if fd is not None:
                self.do(os.write, fd, PIECE[:number % 70_000])
                self.do(os.fsync, fd)

    def map(self, number):
        with self.opened(self.path("m"), os.O_RDWR | os.O_CREAT) as fd:
            if fd is not None and self.do(os.ftruncate, fd, MIB):
                mapped = self.do(mmap.mmap, fd, MIB)
                if mapped is not None:
                    mapped[:] = PIECE
                    mapped.close()

    def attributes(self, number):
        self.put(self.path("a"), b"x")
        self.do(os.setxattr, self.path("a"), f"user.{number % 9}", PIECE[:60_000])

    def list(self, number):
        self.do(os.listdir, self.home)
        self.do(os.mkdir, self.path(f"d{number % 5}"))
        self.do(os.rmdir, self.path(f"d{number % 5}"))


class Programs(Attack):
    """A large program that is run while others write it, and read while it is replaced."""
    threads = 3
    LARGE = 8 * MIB

    def step(self, thread):
        program = self.path(f"program{self.random.randrange(2)}")
        if thread == 0:
            if self.do(shutil.copyfile, "/bin/true", program) is not None:
                self.do(os.chmod, program, 0o755)
                with self.opened(program, os.O_WRONLY | os.O_APPEND) as fd:
                    for _ in range(self.LARGE // MIB):
                        if fd is not None:
                            self.do(os.write, fd, PIECE)
            time.sleep(0.05)
        elif thread == 1:
            self.do(subprocess.run, [program], check=False)
        else:
            with self.opened(program, os.O_WRONLY) as fd:
                if fd is not None:
                    self.do(os.pwrite, fd, b"\0", self.LARGE)


class Controls(Attack):
    """What an ordinary user may see in .spillfs, looked at without end, some of it never closed."""
    threads = 6
    on_any_file_system = False
    HELD = 3000

    def prepare(self):
        self.control = os.path.join(self.root, ".spillfs")
        self.objects = os.path.join(self.control, "objects", os.path.basename(self.home))
        self.held = []
        for number in range(100):
            self.put(self.path(number), struct.pack("<QQQ", 1, 1, 8) + b"om" + b"8 bytes!")

    def step(self, thread):
        for name in self.do(os.listdir, self.control) or ():
            path = os.path.join(self.control, name)
            self.do(os.stat, path)
            self.do(pathlib.Path(path).read_bytes)
        for name in self.do(os.listdir, self.objects) or ():
            path = os.path.join(self.objects, name)
            self.do(os.listdir, path)
            self.do(os.listxattr, os.path.join(path, "0"))
            self.do(pathlib.Path(path, "0").read_bytes)
        self.do(os.listdir, os.path.join(self.control, "segments"))
        if len(self.held) < self.HELD:
            fd = self.do(os.open, os.path.join(self.control, "metrics"), os.O_RDONLY)
            if fd is not None:
                self.held.append(fd)


class ManyObjects(Attack):
    """Files that are nothing but headers of the smallest objects, so that each look reads them all."""
    threads = 3
    on_any_file_system = False
    SIZE = 24 * MIB
    FILES = 3

    def prepare(self):
        self.data = (struct.pack("<QQQ", 0, 0, 1) + b"x") * (self.SIZE // 25)
        self.objects = os.path.join(self.root, ".spillfs/objects", os.path.basename(self.home))

    def step(self, thread):
        for number in range(self.FILES):
            name = f"{thread}-{number}"
            with self.opened(self.path(name), os.O_RDWR | os.O_CREAT | os.O_TRUNC) as fd:
                if fd is not None:
                    self.do(os.write, fd, self.data)
            for _ in range(3):
                self.do(os.utime, self.path(name))
                with self.opened(os.path.join(self.objects, name),
                                 os.O_RDONLY | os.O_DIRECTORY) as fd:
                    buffer = ctypes.create_string_buffer(1 << 15)
                    if fd is not None:
                        got = system_calls.libc.syscall(217, fd, buffer, len(buffer))
                        self.tally.add(0 if got > 0 else ctypes.get_errno())
