# SPDX-License-Identifier: Apache-2.0
"""Random operations on a pair of trees: names, attributes, open files, mappings.

What is chosen depends on the seed and on what is in the first tree, nothing else.
"""
import contextlib
import os
import random
import stat

from model import trees
from support import acls, system_calls

MOST_OPEN, MOST_MAPS, MOST_FOLDERS = 14, 4, 12
KIB, MIB = 1 << 10, 1 << 20
LARGEST = 6 * MIB
DATA = 16 * MIB
NAMES = [f"n{number}" for number in range(8)]
TOP = "t"  # what is above it can only be reached through a symlink
KEYS = [f"user.k{number}" for number in range(2)]


class NothingToDo(Exception):
    """The operation that was chosen has nothing to work on now."""


class Operations:
    """step() does one operation, if it can; the pair's trees are made of `data`."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.data = self.random.randbytes(DATA)
        self.pair = None
        self.slots = []
        self.only = None  # the slot that is chosen, if it has to be a certain one
        self.maps = []
        self.unsynced = set()  # mappings stored to: when that shows in mtime is the kernel's choice
        self.next_slot = 0
        self.folders = [TOP]
        operations = self.table()
        self.operations = list(operations)
        self.weights = list(operations.values())

    def start(self, pair):
        self.pair = pair
        self.pair.both("mkdir", TOP, 0o755)

    def step(self):
        with contextlib.suppress(NothingToDo):
            self.random.choices(self.operations, self.weights)[0]()

    def table(self):
        return {self.open: 10, self.put: 9, self.close: 6, self.dup: 1, self.open_again: 1,
                self.write: 10, self.stream: 2, self.life_of_one: 6, self.pwrite: 14,
                self.direct: 1, self.read: 4, self.pread: 8, self.seek: 2, self.holes: 2,
                self.truncate: 4, self.fallocate: 5, self.copy: 3, self.fsync: 0.5, self.map: 2,
                self.store_mapped: 5, self.load_mapped: 2, self.msync: 1, self.unmap: 1.5,
                self.mkdir: 2, self.rmdir: 1, self.remove_all: 0.3, self.unlink: 7,
                self.rename: 5, self.link: 2, self.symlink: 2, self.mknod: 1, self.tmpfile: 0.5,
                self.link_open: 0.5, self.chmod: 2, self.chown: 1, self.utime: 3, self.xattr: 4,
                self.acl: 2, self.look: 3}

    def agree(self, call, argument):
        self.pair.agree(call, argument, with_time=not self.unsynced)

    # Choices.
    def chance(self, percent):
        return self.random.randrange(100) < percent

    def name(self, there=75):
        """One that exists, by a chance of `there` percent, or any; at times an odd one."""
        folder = self.random.choice(self.folders)
        names = sorted(os.listdir(self.pair.first.path(folder))) if self.chance(there) else NAMES
        name = f"{folder}/{self.random.choice(names or NAMES)}"
        if self.chance(2):
            name += self.random.choice(["/", "/n1", "/.", "x" * 254])
        return name

    def name_or_folder(self):
        return self.name() if self.chance(60) else self.random.choice(self.folders)

    def slot(self):
        if not self.slots:
            self.open()
        if not self.slots:
            raise NothingToDo
        return self.only or self.random.choice(self.slots)

    def piece(self):
        """(start, length)"""
        most = self.random.choices([100, 5000, 64 * KIB, 512 * KIB, 3 * MIB], [20, 42, 22, 13, 3])
        length = self.random.randint(1, most[0])
        return self.random.randrange(DATA - length), length

    def size(self, slot):
        return os.fstat(self.pair.first.files[slot]).st_size

    def offset(self, slot, length=0):
        size = min(self.size(slot), LARGEST)
        offset = self.random.choices(
            [size, 0, self.random.randint(0, size), self.random.randint(0, size + MIB) & ~4095,
             size + self.random.randrange(64 * KIB)], [35, 15, 25, 15, 10])[0]
        return min(offset, LARGEST - length)

    def new_slot(self):
        self.next_slot += 1
        return self.next_slot

    # Names.
    def mkdir(self):
        if len(self.folders) >= MOST_FOLDERS:
            raise NothingToDo
        mode = self.random.choice([0o755, 0o700, 0o2775])
        if self.pair.done("mkdir", self.name(there=10), mode):
            self.find_folders()

    def rmdir(self):
        name = self.name() if self.chance(60) else self.random.choice([*self.folders[1:], TOP])
        if name != TOP and self.pair.done("rmdir", name):
            self.find_folders()

    def remove_all(self):
        folder = self.random.choice(self.folders)
        for below, folders, files in os.walk(self.pair.first.path(folder), topdown=False):
            below = below.removeprefix(self.pair.first.path(""))
            for name in sorted(files):
                self.pair.both("unlink", f"{below}/{name}")
            for name in sorted(folders):
                link = os.path.islink(self.pair.first.path(f"{below}/{name}"))  # to a folder
                self.pair.both("unlink" if link else "rmdir", f"{below}/{name}")
        self.find_folders()

    def find_folders(self):
        top = self.pair.first.path("")
        self.folders = sorted(folder[len(top):] for folder, _, _ in os.walk(top + TOP))

    def unlink(self):
        self.pair.both("unlink", self.name())

    def rename(self):
        old = self.name(95)
        if self.chance(20):
            old = self.random.choice(self.folders)
        new = self.name(40)
        flags = self.random.choices([0, system_calls.NOREPLACE, system_calls.EXCHANGE],
                                    [60, 15, 25])[0]
        if old == TOP:
            return
        if self.pair.done("rename", old, new, flags):
            self.find_folders()
        self.agree(os.lstat, new)
        self.agree(os.lstat, os.path.dirname(old))

    def link(self):
        old, new = self.name(95), self.name(20)
        self.pair.both("link", old, new)
        self.agree(os.lstat, old)

    def symlink(self):
        target = self.random.choice([*NAMES, "../n1", "../n2", "n1/n2", "n3/n4", "x" * 1000, ""])
        self.pair.both("symlink", target, self.name(20))

    def mknod(self):
        kind = self.random.choice([stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFREG, stat.S_IFCHR])
        name = self.name(20)
        device = os.makedev(1, 3) if kind == stat.S_IFCHR else 0
        made = self.pair.done("mknod", name, kind | 0o640, device)
        self.agree(os.lstat, name)
        if made and device != 0:  # only to look at: a mount of ours opens no devices
            self.pair.both("unlink", name)

    def tmpfile(self):
        self.open_as(self.random.choice(self.folders), os.O_TMPFILE | os.O_RDWR)

    def link_open(self):
        slot = self.slot()
        self.pair.both("link_open", slot, self.name(20))
        self.agree(os.fstat, slot)

    def look(self):
        name = self.name_or_folder()
        self.pair.both(self.random.choice(["stat", "list", "readlink", "xattrs"]), name)
        self.agree(os.lstat, name)

    # Attributes.
    def chmod(self):
        mode = self.random.choice([0o644, 0o600, 0o755, 0o4755, 0o2755, 0o1777, 0])
        slot = self.slot()
        if self.chance(30):
            self.pair.both("chmod_open", slot, mode)
        else:
            self.pair.both("chmod", self.name_or_folder(), mode)

    def chown(self):
        name = self.name()
        self.pair.both("chown", name, *self.random.choice([(0, 0), (1, 2), (-1, 3), (4, -1)]))
        self.agree(os.lstat, name)

    def utime(self):
        self.sync_all()
        old = trees.OLD * 10**9
        times = self.random.randrange(-old, old), self.random.randrange(-old, old)
        slot = self.slot()
        if self.chance(40):
            self.pair.both("utime_open", slot, times)
        else:
            self.pair.both("utime", self.name_or_folder(), None if self.chance(10) else times)

    def xattr(self):
        name, key = self.name(), self.random.choice(KEYS)
        what = self.random.randrange(10)
        if what < 5:
            value = self.random.randbytes(self.random.randrange(200))
            flags = self.random.choice([0, 0, os.XATTR_CREATE, os.XATTR_REPLACE])
            self.pair.both("setxattr", name, key, value, flags)
        elif what < 7:
            self.pair.both("removexattr", name, key)
        else:
            self.pair.both("getxattr", name, key)

    def acl(self):
        name = self.name_or_folder()
        key = self.random.choice((acls.ACCESS, acls.DEFAULT))
        rights = ["".join(self.random.sample("rwx", self.random.randrange(4))) for _ in range(6)]
        value = acls.acl("u::{},u:1:{},g::{},g:2:{},m::{},o::{}".format(*rights))
        if self.chance(20):
            value = acls.acl("u::{},g::{},o::{}".format(*rights))
        if self.chance(10):
            value = self.random.choice((b"", value[:4], value[:-8], value[8:]))
        if self.chance(15):
            self.pair.both("removexattr", name, key)
        else:
            self.pair.both("setxattr", name, key, value, 0)
        self.agree(os.lstat, name)

    # Open files.
    def open(self):
        flags = self.random.choices([os.O_RDWR, os.O_WRONLY, os.O_RDONLY], [45, 35, 20])[0]
        for flag, percent in ((os.O_CREAT, 70), (os.O_EXCL, 12), (os.O_TRUNC, 15),
                              (os.O_APPEND, 15), (os.O_NOFOLLOW, 3)):
            flags |= flag if self.chance(percent) else 0
        self.open_as(self.name(70), flags)

    def open_as(self, name, flags):
        if len(self.slots) >= MOST_OPEN:
            self.close()
        new = self.new_slot()
        if not self.pair.done("open", name, flags, self.random.choice([0o644, 0o600]), new):
            return None
        self.agree(os.fstat, new)
        if stat.S_ISDIR(os.fstat(self.pair.first.files[new]).st_mode):  # its offsets mean nothing
            self.pair.both("fsync", new)
            self.pair.both("close", new)
            return None
        self.slots.append(new)
        return new

    def open_again(self):
        slot, new = self.slot(), self.new_slot()
        flags = self.random.choice([os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND])
        if self.pair.done("open_again", slot, flags, new):
            self.slots.append(new)

    def dup(self):
        slot, new = self.slot(), self.new_slot()
        if self.pair.done("dup", slot, new):
            self.slots.append(new)

    def close(self):
        if self.slots:
            slot = self.slots.pop(self.random.randrange(len(self.slots)))
            self.agree(os.fstat, slot)
            self.pair.both("close", slot)

    def write(self):
        slot = self.slot()
        if self.size(slot) < LARGEST:
            self.pair.both("write", slot, *self.piece())
            self.agree(os.fstat, slot)

    def stream(self):
        for _ in range(self.random.randrange(2, 12)):
            self.write()

    def pwrite(self):
        slot = self.slot()
        if self.size(slot) < LARGEST:
            start, length = self.piece()
            self.pair.both("pwrite", slot, start, length, self.offset(slot, length))
            self.agree(os.fstat, slot)

    def life_of_one(self):
        """A new file that one writer has to itself: its bytes stay in memory for long."""
        self.only = self.open_as(self.name(5), os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        if self.only is None:
            raise NothingToDo
        for _ in range(self.random.randrange(2, 9)):
            self.random.choices([self.write, self.pwrite, self.truncate, self.fsync, self.dup],
                                [50, 15, 25, 3, 3])[0]()
        self.only = None

    def put(self):
        name = self.name(50)
        self.pair.both("put", name, [self.piece() for _ in range(self.random.randrange(4))])
        self.agree(os.lstat, name)

    def direct(self):
        blocks = self.random.choice([1, 3, 64, 300])
        self.pair.both("direct", self.name(60), self.random.randrange(MIB), blocks,
                       self.random.randrange(64) * self.random.choice([4096, 64 * KIB]))

    def read(self):
        slot = self.slot()
        self.pair.both("read", slot, self.piece()[1])

    def pread(self):
        slot = self.slot()
        self.pair.both("pread", slot, self.piece()[1], self.offset(slot))

    def seek(self):
        slot = self.slot()
        self.pair.both("seek", slot, *self.random.choice(
            [(self.offset(slot), os.SEEK_SET), (0, os.SEEK_END), (-10, os.SEEK_CUR)]))

    def holes(self):
        slot = self.slot()
        self.sync_all()  # the kernel does not, when it asks for a hole
        offset = self.random.randint(0, self.size(slot) + 10)
        whence = self.random.choice([os.SEEK_DATA, os.SEEK_HOLE])
        wanted, got = self.pair.outcomes("find", slot, offset, whence)
        if wanted != got and not self.pair.first.may_be(slot, offset, whence, got):
            raise trees.Different(f"{wanted} is {got}, in a file of {self.size(slot)} bytes")

    def truncate(self):
        slot = self.slot()
        if self.chance(60):
            size = self.random.choice([0, self.size(slot), self.offset(slot), self.offset(slot)])
            self.pair.both("truncate_open", slot, size)
            self.agree(os.fstat, slot)
        else:
            name = self.name(95)
            size = self.random.choice([0, self.random.randrange(LARGEST)])
            self.pair.both("truncate", name, size)
            self.agree(os.lstat, name)

    def fallocate(self):
        slot = self.slot()
        keep, punch, zero = (system_calls.KEEP_SIZE, system_calls.PUNCH_HOLE,
                             system_calls.ZERO_RANGE)
        mode = self.random.choice([0, keep, punch | keep, punch | keep, zero, zero | keep, punch])
        _, length = self.piece()
        self.pair.both("fallocate", slot, mode, self.offset(slot, length), length)
        self.agree(os.fstat, slot)

    def copy(self):
        slot, to = self.slot(), self.slot()
        _, length = self.piece()
        self.pair.both("copy", slot, self.offset(slot), to, self.offset(to, length), length)
        self.agree(os.fstat, to)

    def fsync(self):
        slot = self.slot()
        self.pair.both("fsync", slot)

    # Mappings.
    def map(self):
        slot, new = self.slot(), self.new_slot()
        if len(self.maps) >= MOST_MAPS or self.size(slot) == 0:
            raise NothingToDo
        length = self.random.randint(1, min(self.size(slot), 2 * MIB))
        if not self.pair.done("map", slot, length, new):
            raise NothingToDo
        self.maps.append(new)

    def inside(self):
        """(mapping, offset, length) of what may be touched without SIGBUS"""
        if not self.maps:
            self.map()
        slot = self.random.choice(self.maps)
        mapping = self.pair.first.maps[slot]
        room = min(len(mapping), mapping.size())
        if room == 0:
            raise NothingToDo
        offset = self.random.randrange(room)
        return slot, offset, self.random.randint(1, min(room - offset, 100 * KIB))

    def store_mapped(self):
        slot, offset, length = self.inside()
        self.unsynced.add(slot)
        self.pair.both("store", slot, self.random.randrange(MIB), length, offset)
        if self.chance(50):
            self.sync(slot)

    def load_mapped(self):
        slot, offset, length = self.inside()
        self.pair.both("load", slot, length, offset)

    def msync(self):
        if self.maps:
            self.sync(self.random.choice(self.maps))

    def sync(self, slot):
        self.pair.both("msync", slot)
        self.unsynced.discard(slot)

    def sync_all(self):
        for slot in self.maps:
            self.sync(slot)

    def unmap(self):
        if self.maps:
            slot = self.maps.pop(self.random.randrange(len(self.maps)))
            self.sync(slot)
            self.pair.both("unmap", slot)

    # Everything.
    def agree_on_open_files(self):
        self.sync_all()
        for slot in self.slots:
            self.agree(os.fstat, slot)

    def close_all(self):
        while self.maps:
            self.unmap()
        while self.slots:
            self.close()
