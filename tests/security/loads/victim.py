# SPDX-License-Identifier: Apache-2.0
"""A user who works at a steady rate while another one does not behave.

The victim runs in a process of its own and notes in a journal outside of the file system what it is
about to do, what came of it and how long it took. So its parent knows what must be there even of a
victim that hangs."""
import contextlib
import gc
import os
import pickle
import random
import select
import signal
import tempfile
import time
import traceback
from dataclasses import dataclass

from support.users import die_with_parent

POOL = random.Random("victim").randbytes(4 << 20)
SIZES = (4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20)
SIZE_WEIGHTS = (40, 25, 20, 10, 5)
STAMP, CHANGED = 16, 64
FILES = 120          # as many it has, more or less
SHARED = "job.lock"  # made and removed in a directory that all users share
# Kinds that wait for a disk on any file system: their times are shown, and not judged.
NOT_JUDGED = ("fsync", "change")


@dataclass(frozen=True)
class Content:
    """A file's bytes: a stamp that no other file has, then a piece of the pool."""
    stamp: int
    at: int
    size: int
    changed: bytes = b""  # what a later change wrote behind the stamp

    def bytes(self):
        data = bytearray(self.stamp.to_bytes(STAMP, "big"))
        data += POOL[self.at:self.at + self.size - STAMP]
        data[STAMP:STAMP + len(self.changed)] = self.changed
        return bytes(data)


@dataclass(frozen=True)
class Operation:
    kind: str
    start: float
    seconds: float
    error: str = ""  # empty when all was as it should be

    @property
    def judged(self):
        return self.kind not in NOT_JUDGED


class Known:
    """What must be in the victim's directory, by name."""

    def __init__(self):
        self.files, self.unsure = {}, set()

    def apply(self, change):
        what, name, *more = change
        if what == "put":
            self.files[name] = more[0]
        elif what == "gone":
            del self.files[name]
        elif what == "moved":
            self.files[more[0]] = self.files.pop(name)
        elif what == "unsure":
            self.unsure.add(name)
            self.files.pop(name, None)

    def lost(self, folder):
        """What of it is not there, as sentences."""
        found = set(os.listdir(folder))
        wrong = [f"{name} came back" for name in sorted(found - set(self.files) - self.unsure)]
        for name, content in sorted(self.files.items()):
            try:
                with open(os.path.join(folder, name), "rb") as file:
                    if file.read() != content.bytes():
                        wrong.append(f"{name} has other bytes")
            except OSError as error:
                wrong.append(f"{name}: {error.strerror}")
        return wrong


class Work:
    """The victim's operations; each says by yielding changes what it is about to do and has done."""
    WEIGHTS = {"write": 20, "replace": 5, "read": 25, "stat": 17, "list": 5, "rename": 7,
               "unlink": 12, "statfs": 5, "lock": 4, "fsync": 1, "change": 1}

    def __init__(self, root, folder, seed):
        self.root, self.folder = root, folder
        self.random = random.Random(seed)
        self.known = Known()
        self.stamps = 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def choose(self):
        kind = self.random.choices(list(self.WEIGHTS), list(self.WEIGHTS.values()))[0]
        if kind == "write" and len(self.known.files) > FILES:
            return "unlink"
        if len(self.known.files) < 5 and kind not in ("statfs", "lock", "list"):
            return "write"
        return kind

    def a_name(self):
        return self.random.choice(list(self.known.files))

    def new_name(self):
        self.stamps += 1
        return f"f{self.stamps:06}"

    def new_content(self, size=None):
        self.stamps += 1
        size = size or self.random.choices(SIZES, SIZE_WEIGHTS)[0] - self.random.randrange(1000)
        return Content(self.stamps, self.random.randrange(len(POOL) - SIZES[-1]), size)

    def put(self, name, content, sync=False):
        fd = os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            data = memoryview(content.bytes())
            while data:
                data = data[os.write(fd, data[:256 << 10]):]
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)

    def check(self, condition, what):
        if not condition:
            raise AssertionError(what)

    # Each returns the names it may change and a call that makes the changes and returns them.

    def write(self, sync=False, size=None):
        name, content = self.new_name(), self.new_content(size)

        def call():
            self.put(name, content, sync)
            return [("put", name, content)]
        return [name], call

    def fsync(self):
        return self.write(sync=True, size=4096)

    def replace(self):
        name, temporary, content = self.a_name(), self.new_name(), self.new_content()

        def call():
            self.put(temporary, content)
            os.rename(self.path(temporary), self.path(name))
            return [("put", name, content)]
        return [name, temporary], call

    def change(self):
        name = self.a_name()
        old = self.known.files[name]
        new = Content(old.stamp, old.at, old.size, self.random.randbytes(CHANGED))

        def call():
            with open(self.path(name), "r+b", buffering=0) as file:
                os.pwrite(file.fileno(), new.changed, STAMP)
            return [("put", name, new)]
        return [name], call

    def read(self):
        name = self.a_name()

        def call():
            with open(self.path(name), "rb", buffering=0) as file:
                data = file.readall()
            self.check(data == self.known.files[name].bytes(), f"{name} has other bytes")
            return []
        return [], call

    def stat(self):
        name = self.a_name()

        def call():
            size = os.stat(self.path(name)).st_size
            self.check(size == self.known.files[name].size, f"{name} has {size} bytes")
            return []
        return [], call

    def list(self):
        def call():
            found = os.listdir(self.folder)
            wrong = set(found) ^ set(self.known.files)
            self.check(wrong <= self.known.unsure, f"listed, or not: {wrong}")
            return []
        return [], call

    def rename(self):
        old, new = self.a_name(), self.new_name()

        def call():
            os.rename(self.path(old), self.path(new))
            return [("moved", old, new)]
        return [old, new], call

    def unlink(self):
        name = self.a_name()

        def call():
            os.unlink(self.path(name))
            return [("gone", name)]
        return [name], call

    def statfs(self):
        def call():
            self.check(os.statvfs(self.folder).f_bavail > 0, "there is no space left")
            return []
        return [], call

    def lock(self):
        path = os.path.join(self.root, SHARED)

        def call():
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            os.unlink(path)
            return []

        return [], call


class Victim:
    """Forks the process that works in root/victim as `uid`, `rate` operations a second."""

    def __init__(self, root, uid, rate):
        self.root, self.uid, self.interval = str(root), uid, 1 / rate
        self.folder = os.path.join(self.root, "victim")
        self.journal = tempfile.TemporaryFile()
        self.pid = None
        self.stop_pipe = ()

    def start(self):
        self.stop_pipe = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                self._become_ordinary(parent)
                self._work()
                status = 0
            except BaseException:
                self._note("broken", traceback.format_exc())
            finally:
                os._exit(status)
        os.close(self.stop_pipe[0])
        return self

    def _note(self, *record):
        os.write(self.journal.fileno(), pickle.dumps(record))

    def _become_ordinary(self, parent):
        os.setgroups([])
        os.setgid(self.uid)
        os.setuid(self.uid)
        die_with_parent(parent)

    def _work(self):
        os.close(self.stop_pipe[1])
        gc.disable()
        os.mkdir(self.folder, 0o700)
        work = Work(self.root, self.folder, self.uid)
        next_one = time.monotonic()
        while True:
            kind = work.choose()
            names, call = getattr(work, kind)()
            self._step(work, kind, names, call)
            next_one = max(next_one + self.interval, time.monotonic())
            ready, _, _ = select.select([self.stop_pipe[0]], [], [],
                                        max(0, next_one - time.monotonic()))
            if ready:
                return

    def _step(self, work, kind, names, call):
        start = time.monotonic()
        self._note("begins", kind, start, names)
        changes, error = [], ""
        try:
            changes = call()
        except (OSError, AssertionError) as why:
            error = f"{kind}: {why}"
            changes = [("unsure", name) for name in names]
        seconds = time.monotonic() - start
        for change in changes:
            work.known.apply(change)
        self._note("did", Operation(kind, start, seconds, error), changes)

    def wait_until_it_works(self, seconds):
        """The first operations are done."""
        end = time.monotonic() + seconds
        while os.fstat(self.journal.fileno()).st_size < 10_000:
            assert time.monotonic() < end, "the victim does not begin"
            time.sleep(0.02)

    def stop(self, seconds):
        """False when it hangs in an operation for longer than that; then it is killed."""
        os.write(self.stop_pipe[1], b"!")  # who was forked since has the pipe open as well
        os.close(self.stop_pipe[1])
        end = time.monotonic() + seconds
        while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                self.kill()
                return False
            time.sleep(0.01)
        self.pid = None
        return True

    def kill(self):
        if self.pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.pid = None

    def outcome(self):
        """Once it has ended: its operations, and what must be there."""
        operations, known, under_way = [], Known(), None
        self.journal.seek(0)
        while True:
            try:
                what, *record = pickle.load(self.journal)
            except EOFError:
                break
            if what == "begins":
                under_way = record
            elif what == "did":
                operations.append(record[0])
                for change in record[1]:
                    known.apply(change)
                under_way = None
            else:
                raise AssertionError(f"the victim is broken: {record[0]}")
        if under_way is not None:
            kind, start, names = under_way
            operations.append(Operation(kind, start, time.monotonic() - start,
                                        f"{kind}: had no answer"))
            for name in names:
                known.apply(("unsure", name))
        self.journal.close()
        return operations, known
