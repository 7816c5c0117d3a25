# SPDX-License-Identifier: Apache-2.0
"""Clients that must not notice that the daemon dies: each checks all it does, and whatever goes wrong
is kept in `failures`. Each says how long its longest call took."""
import contextlib
import errno
import fcntl
import mmap
import os
import random
import threading
import time


class Client(threading.Thread):
    """Does `step()` until it is told to stop."""

    def __init__(self, folder, seed):
        super().__init__(name=type(self).__name__, daemon=True)
        self.folder = os.path.join(folder, f"{self.name}-{seed}")
        os.makedirs(self.folder)
        self.random = random.Random(seed)
        self.steps, self.longest, self.failures = 0, 0.0, []
        self.stop = False

    def run(self):
        try:
            while not self.stop:
                start = time.monotonic()
                self.step()
                self.longest = max(self.longest, time.monotonic() - start)
                self.steps += 1
            self.finish()
        except (OSError, AssertionError) as why:
            self.failures.append(f"{self.name} step {self.steps}: {why!r}")

    def finish(self):
        """Sees that all is there in the end."""

    def path(self, name):
        return os.path.join(self.folder, name)


def check(clients, when=""):
    failures = [failure for client in clients for failure in client.failures]
    assert not failures, f"{when}{failures}"


@contextlib.contextmanager
def running(clients):
    """They work meanwhile; in the end each sees that all is there, and ends."""
    for client in clients:
        client.start()
    yield
    for client in clients:
        client.stop = True
    for client in clients:
        client.join(60)
        assert not client.is_alive(), f"{client.name} hangs"
    check(clients)


class Files(Client):
    """Makes, replaces, reads, renames, links and removes small and large files; none is ever lost."""
    SIZES = (0, 1, 4000, 70_000, 300_000, 2 << 20, 6 << 20)

    def __init__(self, folder, seed):
        super().__init__(folder, seed)
        self.known = {}  # name -> (seed of the bytes, length)

    @staticmethod
    def data(what):
        seed, length = what
        return random.Random(seed).randbytes(length)

    def make(self, name):
        what = self.random.random(), self.random.choice(self.SIZES)
        data, how = self.data(what), os.O_WRONLY | os.O_CREAT | os.O_EXCL
        fd = os.open(self.path("new"), how, 0o600)
        try:
            at = 0
            while at < len(data):
                at += os.write(fd, data[at:at + self.random.choice((5000, 200_000, 1 << 20))])
        finally:
            os.close(fd)
        os.rename(self.path("new"), self.path(name))
        self.known[name] = what

    def check(self, name):
        with open(self.path(name), "rb") as file:
            assert file.read() == self.data(self.known[name]), f"{name} has other bytes"

    def step(self):
        name = f"f{self.random.randrange(20)}"
        chance = self.random.random()
        if name not in self.known or chance < 0.3:
            self.make(name)
        elif chance < 0.5:
            self.check(name)
        elif chance < 0.7:
            os.unlink(self.path(name))
            del self.known[name]
            assert not os.path.lexists(self.path(name)), f"{name} is still there"
        elif chance < 0.85:
            other = f"f{self.random.randrange(20)}"
            os.rename(self.path(name), self.path(other))
            self.known[other] = self.known.pop(name)
        else:
            os.link(self.path(name), self.path("link"))
            os.unlink(self.path(name))
            os.rename(self.path("link"), self.path(name))

    def finish(self):
        found = sorted(os.listdir(self.folder))
        assert found == sorted(self.known), f"{found} are there, not {sorted(self.known)}"
        for name in found:
            self.check(name)


class Names(Client):
    """What must happen exactly once: a second mkdir, unlink or exclusive create would fail."""

    def step(self):
        a, b = self.path("a"), self.path("b")
        os.mkdir(a)
        os.rename(a, b)
        os.setxattr(b, "user.x", b"1", os.XATTR_CREATE)
        os.removexattr(b, "user.x")
        os.rmdir(b)
        os.symlink("nowhere", a)
        os.unlink(a)
        os.mknod(a, 0o600)
        os.link(a, b)
        os.unlink(a)
        os.unlink(b)
        assert os.listdir(self.folder) == []


class Mapped(Client):
    """A shared mapping and writes beside it, in a file that has no name any more, as Ray's fallback."""
    SIZE = 4 << 20

    def __init__(self, folder, seed):
        super().__init__(folder, seed)
        self.fd = os.open(self.path("mapped"), os.O_RDWR | os.O_CREAT | os.O_EXCL)
        os.unlink(self.path("mapped"))
        os.ftruncate(self.fd, self.SIZE)
        self.map = mmap.mmap(self.fd, self.SIZE)
        self.copy = bytearray(self.SIZE)

    def step(self):
        at, data = self.random.randrange(self.SIZE - 9000), self.random.randbytes(9000)
        self.copy[at:at + len(data)] = data
        if self.random.random() < 0.5:
            self.map[at:at + len(data)] = data
        else:
            assert os.pwrite(self.fd, data, at) == len(data)
        at = self.random.randrange(self.SIZE - 100_000)
        same = os.pread(self.fd, 100_000, at) == self.copy[at:at + 100_000]
        assert same and self.map[at:at + 100_000] == self.copy[at:at + 100_000], f"changed at {at}"
        assert os.fstat(self.fd).st_size == self.SIZE
        time.sleep(0.002)

    def finish(self):
        assert self.map[:] == self.copy, "the mapping has other bytes"
        self.map.close()
        os.close(self.fd)


class Open(Client):
    """Files that stay open: one that grows and is read at the same time, a listing, a lock."""

    def __init__(self, folder, seed):
        super().__init__(folder, seed)
        self.data = bytearray()
        self.writer = os.open(self.path("grows"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.reader = os.open(self.path("grows"), os.O_RDONLY)
        self.lock = os.open(self.path("lock"), os.O_RDWR | os.O_CREAT)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.many = self.path("many")
        os.mkdir(self.many)
        for number in range(500):
            os.mknod(os.path.join(self.many, str(number)))

    def step(self):
        piece = self.random.randbytes(self.random.choice((100, 5000, 60_000)))
        assert os.write(self.writer, piece) == len(piece)
        self.data += piece
        if len(self.data) > 8 << 20:
            os.ftruncate(self.writer, 1000)
            del self.data[1000:]
        at = self.random.randrange(len(self.data))
        assert os.pread(self.reader, 70_000, at) == self.data[at:at + 70_000], f"other bytes at {at}"
        assert os.fstat(self.reader).st_size == len(self.data)
        with os.scandir(self.many) as entries:
            names = []
            for entry in entries:
                names.append(entry.name)
                if len(names) % 100 == 0:
                    time.sleep(0.001)
        assert sorted(names, key=int) == [str(number) for number in range(500)], "names are missing"
        other = os.open(self.path("lock"), os.O_RDWR)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            raise AssertionError("the lock is gone")
        except OSError as why:
            assert why.errno == errno.EWOULDBLOCK, why
        finally:
            os.close(other)

    def finish(self):
        for file in (self.writer, self.reader, self.lock):
            os.close(file)
