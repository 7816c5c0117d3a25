# SPDX-License-Identifier: Apache-2.0
"""Writers with a mixed load that note what they do in a History."""
import contextlib
import itertools
import os
import random
import threading
import time

from history import SECTOR, Content, Event, File, Folder, Span, Step, stamped

SIZES = (0, 16, 700, 4096, 20_480, 70_000, 204_800)
LARGE = (600_064, 1 << 20, 1_700_000, 3 << 20)
MOST_BYTES = 24 << 20  # of a writer
PHASE = 2  # seconds


def is_quiet():
    """Whether nobody syncs now: then each file system writes what it likes, when it likes."""
    return int(time.monotonic() / PHASE) % 2 == 1


class Writer(threading.Thread):
    """Creates, replaces, changes, renames and deletes files of its own."""

    numbers = itertools.count(1)  # of files and of writes: each is used once

    def __init__(self, path, folder, history, position, seed):
        super().__init__()
        self.path, self.folder, self.history = path / folder.name, folder, history
        self.position, self.random = position, random.Random(seed)
        self.names = {}  # as they are now: name -> File
        self.resting = set()  # names that are left alone from now on
        self.stop, self.error = False, None

    def run(self):
        try:
            while not self.stop:
                self.step()
        except BaseException as error:  # pylint: disable=broad-except
            self.error = error

    @contextlib.contextmanager
    def span(self):
        span = Span(time.monotonic_ns(), self.position())
        yield span
        span.end, span.end_time = self.position(), time.monotonic_ns()

    @contextlib.contextmanager
    def event(self, file, kind, content=None):
        """Notes what the body does to the file before it does it."""
        with self.span() as span:
            file.events.append(Event(kind, span, content or file.content))
            yield

    @contextlib.contextmanager
    def renaming(self, names):
        with self.span() as span:
            self.folder.steps.append(Step(span, {name: file.number if file else None
                                                 for name, file in names.items()}))
            yield self.folder.steps[-1]
        self.names = {name: file for name, file in {**self.names, **names}.items() if file}

    def step(self):
        free = [name for name in self.names if name not in self.resting]
        full = sum(file.content.size for file in self.names.values()) > MOST_BYTES
        what = self.random.random()
        if what < 0.4 and not full or not free:
            return self.create(f"f{next(self.numbers)}")
        name = self.random.choice(free)
        if full or what < 0.5:
            return self.delete(name)
        if what < 0.6:
            return self.rename(name)
        if what < 0.68:
            return self.create(name)  # in its place
        if what < 0.75:
            return self.sync_later(name)
        if what < 0.78:
            return self.sync_folder()
        if what < 0.83:
            return self.rewrite(name)
        return self.change(name)

    def size(self):
        return self.random.choice(LARGE if self.random.random() < 0.25 else SIZES)

    def put(self, descriptor, file, size):
        """Writes the whole file, in steps; perhaps with a sync on the way: its span, or None."""
        write = next(self.numbers)
        data = stamped(file.number, write, 0, -(-size // SECTOR))[:size]
        part = size // 3 // SECTOR * SECTOR if self.random.random() < 0.1 else 0
        if part:
            with self.event(file, "write", Content(part, (write,) * (part // SECTOR))):
                os.write(descriptor, data[:part])
        early = self.sync(descriptor, file, 1 if part else 0)
        content = Content(size, (write,) * -(-size // SECTOR))
        with self.event(file, "change" if part else "write", content):
            for start in range(part, size, 128 << 10):
                os.write(descriptor, data[start:start + (128 << 10)])
        return early

    def sync(self, descriptor, file, chance):
        """The sync's span, or None: it was not its turn."""
        if self.random.random() >= chance or is_quiet():
            return None
        with self.event(file, "sync"):
            os.fsync(descriptor)
        span = file.events[-1].span
        self.history.syncs.append(span)
        return span

    def close(self, descriptor, file):
        with self.event(file, "seal"):
            os.close(descriptor)

    def create(self, name):
        """Under a new name, then perhaps in another's place. A file has a name after a loss of power
        once it was sealed."""
        file = File(next(self.numbers))
        self.folder.files[file.number] = file
        new = name if name not in self.names else f"new{file.number}"
        flags = os.O_RDWR if self.random.random() < 0.15 else os.O_WRONLY
        descriptor = os.open(self.path / new, flags | os.O_CREAT | os.O_EXCL, 0o600)
        file.inode = os.fstat(descriptor).st_ino
        with self.renaming({new: file}) as step:
            early = self.put(descriptor, file, self.size())
            step.sync = early or self.sync(descriptor, file, 0.25)
            self.close(descriptor, file)
        if new != name:
            self.move(new, name)

    def move(self, old, new):
        with self.renaming({old: None, new: self.names[old]}):
            os.replace(self.path / old, self.path / new)

    def rename(self, name):
        free = [other for other in self.names if other not in self.resting and other != name]
        if free and self.random.random() < 0.3:
            return self.move(name, self.random.choice(free))
        return self.move(name, f"r{next(self.numbers)}")

    def delete(self, name):
        with self.renaming({name: None}):
            os.unlink(self.path / name)

    def sync_later(self, name):
        descriptor = os.open(self.path / name, os.O_RDONLY)
        self.sync(descriptor, self.names[name], 1)
        os.close(descriptor)

    def sync_folder(self):
        if is_quiet():
            return
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        with self.span() as span:
            os.fsync(descriptor)
        self.history.syncs.append(span)
        os.close(descriptor)

    def rewrite(self, name):
        file = self.names[name]
        if file.in_place:
            return
        with self.event(file, "write", Content()):
            descriptor = os.open(self.path / name, os.O_WRONLY | os.O_TRUNC)
        self.put(descriptor, file, self.size())
        self.sync(descriptor, file, 0.25)
        self.close(descriptor, file)

    def change(self, name):
        """In place: some sectors, perhaps an end of its own."""
        file = self.names[name]
        if file.content.size < SECTOR or file.content.size % SECTOR:
            return
        file.in_place = True
        descriptor = os.open(self.path / name, os.O_RDWR)
        for _ in range(self.random.randrange(1, 5)):
            self.change_some(descriptor, file)
        self.sync(descriptor, file, 0.3)
        self.close(descriptor, file)
        if len(self.resting) < 12 and self.random.random() < 0.3:
            self.resting.add(name)

    def change_some(self, descriptor, file):
        sectors = file.content.size // SECTOR
        count = self.random.choice((1, 8, 40, 128))
        what = self.random.random()
        if what < 0.15 and sectors > 2:
            self.cut(descriptor, file, self.random.randrange(1, sectors) * SECTOR)
            return
        first = sectors if what < 0.3 else self.random.randrange(sectors)
        count = count if first == sectors else min(count, sectors - first)
        write = next(self.numbers)
        with self.event(file, "change", file.content.changed(write, first, count)):
            os.pwrite(descriptor, stamped(file.number, write, first, count), first * SECTOR)

    def cut(self, descriptor, file, size):
        with self.event(file, "change", file.content.resized(size)):
            os.ftruncate(descriptor, size)

    def cut_all(self):
        """The last thing: then nothing makes the index sync, but the file system goes on."""
        for name, file in self.names.items():
            if file.in_place and file.content.size > SECTOR:
                descriptor = os.open(self.path / name, os.O_RDWR)
                self.cut(descriptor, file, SECTOR)
                self.close(descriptor, file)


def make_folders(path, history, count):
    """Directories that are on disk before the load begins."""
    for number in range(count):
        history.folders.append(Folder(f"w{number}"))
        os.mkdir(path / f"w{number}")
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def work(path, history, position, seconds, seed):
    """Runs a writer in every folder."""
    writers = [Writer(path, folder, history, position, seed * 100 + number)
               for number, folder in enumerate(history.folders)]
    for writer in writers:
        writer.start()
    time.sleep(seconds)
    for writer in writers:
        writer.stop = True
    for writer in writers:
        writer.join(60)
        assert not writer.is_alive(), "a writer hangs"
        if writer.error is not None:
            raise writer.error
    for writer in writers:
        writer.cut_all()
    time.sleep(PHASE)
