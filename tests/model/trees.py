# SPDX-License-Identifier: Apache-2.0
"""A directory tree with its open files, and a pair of them that have the same operations done to
them and must stay the same."""
import collections
import errno
import mmap
import os
import stat

from support import system_calls

OLD = 1_000_000_000  # seconds; times before it were set, later ones are the clock's
STEP = 1 << 20


class Different(AssertionError):
    """What the first tree has and what the second one has instead."""


class Refused(str):
    """The errno a call failed with."""


def outcome(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        return Refused(errno.errorcode[error.errno])


class Tree:
    """Names are relative to `root`. Open files and mappings go by numbers ("slots") that are the
    same in both trees. What is written is a piece (start, length) of `data`."""

    def __init__(self, root, data):
        self.root = str(root)
        self.data = memoryview(data)
        self.files = {}
        self.maps = {}

    def path(self, name):
        return f"{self.root}/{name}"

    # Names.
    def mkdir(self, name, mode):
        os.mkdir(self.path(name), mode)

    def rmdir(self, name):
        os.rmdir(self.path(name))

    def unlink(self, name):
        os.unlink(self.path(name))

    def rename(self, old, new, flags):
        system_calls.rename2(self.path(old), self.path(new), flags)

    def link(self, old, new):
        os.link(self.path(old), self.path(new))

    def link_open(self, slot, name):
        system_calls.link_open(self.files[slot], self.path(name))

    def symlink(self, target, name):
        os.symlink(target, self.path(name))

    def readlink(self, name):
        return os.readlink(self.path(name))

    def mknod(self, name, mode, device):
        os.mknod(self.path(name), mode, device)

    def list(self, name):
        """Names and the types that readdir gives with them."""
        with os.scandir(self.path(name)) as entries:
            return sorted((entry.name, entry.is_dir(follow_symlinks=False),
                           entry.is_file(follow_symlinks=False), entry.is_symlink())
                          for entry in entries)

    # Attributes.
    def stat(self, name):
        found = os.stat(self.path(name))
        return stat.S_IFMT(found.st_mode), found.st_size if stat.S_ISREG(found.st_mode) else 0

    def chmod(self, name, mode):
        os.chmod(self.path(name), mode)

    def chown(self, name, uid, gid):
        os.chown(self.path(name), uid, gid, follow_symlinks=False)

    def utime(self, name, times):
        """Gives what was set; the clock's time can't be compared."""
        if times is None:
            return os.utime(self.path(name), follow_symlinks=False)
        os.utime(self.path(name), ns=times, follow_symlinks=False)
        found = os.lstat(self.path(name))
        return found.st_atime_ns, found.st_mtime_ns

    def utime_open(self, slot, times):
        os.utime(self.files[slot], ns=times)
        found = os.fstat(self.files[slot])
        return found.st_atime_ns, found.st_mtime_ns

    def chmod_open(self, slot, mode):
        os.fchmod(self.files[slot], mode)

    def setxattr(self, name, key, value, flags):
        os.setxattr(self.path(name), key, value, flags, follow_symlinks=False)

    def getxattr(self, name, key):
        return os.getxattr(self.path(name), key, follow_symlinks=False)

    def removexattr(self, name, key):
        os.removexattr(self.path(name), key, follow_symlinks=False)

    def xattrs(self, name):
        return self.all_xattrs(self.path(name))

    @staticmethod
    def all_xattrs(path):
        keys = os.listxattr(path, follow_symlinks=False)
        return {key: os.getxattr(path, key, follow_symlinks=False)
                for key in keys if key.startswith(("user.", "system."))}

    # Open files.
    def open(self, name, flags, mode, slot):
        self.files[slot] = os.open(self.path(name), flags | os.O_NONBLOCK, mode)

    def open_again(self, slot, flags, new):
        self.files[new] = os.open(f"/proc/self/fd/{self.files[slot]}", flags | os.O_NONBLOCK)

    def dup(self, slot, new):
        self.files[new] = os.dup(self.files[slot])

    def close(self, slot):
        os.close(self.files.pop(slot))

    def write(self, slot, start, length):
        return os.write(self.files[slot], self.data[start:start + length])

    def pwrite(self, slot, start, length, offset):
        return os.pwrite(self.files[slot], self.data[start:start + length], offset)

    def read(self, slot, length):
        return os.read(self.files[slot], length)

    def pread(self, slot, length, offset):
        return os.pread(self.files[slot], length, offset)

    def seek(self, slot, offset, whence):
        return os.lseek(self.files[slot], offset, whence)

    def find(self, slot, offset, whence):
        """SEEK_DATA or SEEK_HOLE, which leave the file's position as it was."""
        before = os.lseek(self.files[slot], 0, os.SEEK_CUR)
        try:
            return os.lseek(self.files[slot], offset, whence)
        finally:
            os.lseek(self.files[slot], before, os.SEEK_SET)

    def may_be(self, slot, offset, whence, found):
        """Whether it is right to find data or a hole there: file systems may take zeros for data,
        and see holes in steps of their own."""
        with open(f"/proc/self/fd/{self.files[slot]}", "rb") as file:
            content = file.read()
        end = len(content) if whence == os.SEEK_DATA and found == "ENXIO" else found
        if offset >= len(content) or isinstance(end, Refused):
            return False
        if not offset <= end <= len(content):
            return False
        zeros = content[offset:end] if whence == os.SEEK_DATA else content[end:end + 1]
        return not any(zeros)

    def truncate(self, name, size):
        os.truncate(self.path(name), size)

    def truncate_open(self, slot, size):
        os.ftruncate(self.files[slot], size)

    def fallocate(self, slot, mode, offset, length):
        system_calls.fallocate(self.files[slot], mode, offset, length)

    def copy(self, slot, offset, to, to_offset, length):
        return os.copy_file_range(self.files[slot], self.files[to], length, offset, to_offset)

    def fsync(self, slot):
        os.fsync(self.files[slot])

    def put(self, name, pieces):
        """Writes a file from its start to its end and closes it."""
        fd = os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o644)
        try:
            return [os.write(fd, self.data[start:start + length]) for start, length in pieces]
        finally:
            os.close(fd)

    def direct(self, name, start, blocks, offset):
        """Writes and reads whole blocks past the page cache."""
        with mmap.mmap(-1, blocks * 4096) as buffer:
            buffer[:] = self.data[start:start + len(buffer)]
            fd = os.open(self.path(name),
                         os.O_RDWR | os.O_CREAT | os.O_DIRECT | os.O_NONBLOCK, 0o600)
            try:
                wrote = os.pwritev(fd, [buffer], offset)
                got = os.preadv(fd, [buffer], max(0, offset - 4096))
                return wrote, got, bytes(buffer[:got])
            finally:
                os.close(fd)

    # Mappings. The caller keeps to what lies inside the file: the rest would be SIGBUS.
    def map(self, slot, length, new):
        self.maps[new] = mmap.mmap(self.files[slot], length)

    def store(self, slot, start, length, offset):
        self.maps[slot][offset:offset + length] = self.data[start:start + length]

    def load(self, slot, length, offset):
        return self.maps[slot][offset:offset + length]

    def msync(self, slot):
        self.maps[slot].flush()

    def unmap(self, slot):
        self.maps.pop(slot).close()


def facts(found, with_time):
    """What two file systems have to agree on about an inode."""
    kind = stat.S_IFMT(found.st_mode)
    set_time = found.st_mtime < OLD and with_time and kind != stat.S_IFIFO
    return {"mode": oct(found.st_mode), "links": found.st_nlink, "owner": found.st_uid,
            "group": found.st_gid, "size": found.st_size if kind != stat.S_IFDIR else 0,
            "device": found.st_rdev, "mtime": found.st_mtime_ns if set_time else "now"}


def walk(tree, name=""):
    """Every inode below `name`: name → (facts, inode number, path)."""
    all_found = {}
    with os.scandir(tree.path(name)) as entries:
        for entry in entries:
            path = tree.path(name + entry.name)
            found = os.lstat(path)
            assert entry.inode() == found.st_ino, f"{path}: readdir's inode is not stat's"
            about = facts(found, True) | {"xattrs": tree.all_xattrs(path)}
            if entry.is_symlink():
                about["target"] = os.readlink(path)
            all_found[name + entry.name] = (about, found.st_ino, path)
            if entry.is_dir(follow_symlinks=False):
                all_found |= walk(tree, f"{name}{entry.name}/")
    return all_found


def first_difference(a, b):
    return next(at for at in range(STEP) if a[at:at + 1] != b[at:at + 1])


def read_aligned(fd, offset):
    """STEP bytes, into memory as O_DIRECT on a disk wants it."""
    with mmap.mmap(-1, STEP) as buffer:
        return buffer[:os.preadv(fd, [buffer], offset)]


def compare_bytes(plain, spill, flags):
    """What differs in two files' bytes, if anything; `flags` are for the second one's open."""
    ours = os.open(spill, os.O_RDONLY | flags)
    try:
        theirs = os.open(plain, os.O_RDONLY)
        try:
            for at in range(0, 1 << 40, STEP):
                a, b = os.pread(theirs, STEP, at), read_aligned(ours, at)
                if a != b:
                    here = first_difference(a, b)
                    return (f"at {at + here}: {a[here:here + 16].hex()} is "
                            f"{b[here:here + 16].hex()} ({len(a)} and {len(b)} bytes from {at})")
                if not a:
                    return None
        finally:
            os.close(theirs)
    finally:
        os.close(ours)


def differences(plain, spill, flags):
    """Yields what differs; files of the second tree are read with `flags`."""
    theirs, ours = walk(plain), walk(spill)
    for name in sorted(theirs.keys() ^ ours.keys()):
        yield f"{name} is only in {(plain if name in theirs else spill).root}"
    pairs = {}
    for name in sorted(theirs.keys() & ours.keys()):
        (a, inode, plain_path), (b, our_inode, spill_path) = theirs[name], ours[name]
        if a != b:
            yield f"{name}: {a} is {b}"
        if inode in pairs:
            if pairs[inode] != our_inode:
                yield f"{name}: not linked as it should be"
        elif stat.S_ISREG(int(a["mode"], 8)) and a["mode"] == b["mode"]:
            found = compare_bytes(plain_path, spill_path, flags)
            if found:
                yield f"{name}: {found}"
        pairs[inode] = our_inode
    if len(set(pairs.values())) != len(pairs):
        yield "two files became one inode"


def shown(value):
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) < 200 else f"{text[:200]}… ({len(text)})"


class Pair:
    """Two trees, and the last operations on them."""

    def __init__(self, first, second, remembered):
        self.trees = first, second
        self.first, self.second = first, second
        self.history = collections.deque(["start:"], remembered)

    def outcomes(self, call, *arguments):
        """What a call gives on each tree, not compared."""
        self.history[-1] += f" {call}({', '.join(shown(one) for one in arguments)})"
        return [outcome(getattr(tree, call), *arguments) for tree in self.trees]

    def both(self, call, *arguments):
        wanted, got = self.outcomes(call, *arguments)
        if type(wanted) is not type(got) or wanted != got:
            raise Different(f"{shown(wanted)} is {shown(got)}")
        if isinstance(got, Refused):
            self.history[-1] += f" {got}"
        return got

    def done(self, call, *arguments):
        return not isinstance(self.both(call, *arguments), Refused)

    def agree(self, call, argument, with_time):
        """On an inode's attributes; `call` is os.lstat of a name or os.fstat of a slot."""
        found = []
        for tree in self.trees:
            where = tree.files[argument] if call is os.fstat else tree.path(argument)
            one = outcome(call, where)
            found.append(one if isinstance(one, Refused) else facts(one, with_time))
        if found[0] != found[1]:
            raise Different(f"{argument}: {found[0]} is {found[1]}")

    def compare(self, flags):
        """Everything; the second tree's files are read with `flags`."""
        found = list(differences(*self.trees, flags))
        for slot, file in self.first.files.items():
            state = os.fstat(file)
            if stat.S_ISREG(state.st_mode) and state.st_nlink == 0:
                paths = [f"/proc/self/fd/{tree.files[slot]}" for tree in self.trees]
                different = compare_bytes(*paths, flags)
                found += [f"{slot}: {different}"] if different else []
        if found:
            raise Different("\n".join(found[:10]))
