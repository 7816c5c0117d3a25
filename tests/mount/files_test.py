# SPDX-License-Identifier: Apache-2.0
"""What a POSIX directory allows, on a real mount; every refused call's errno is checked.

SPILLFS_PLAIN=DIR runs the same tests on a directory of any other filesystem.
"""
import errno
import fcntl
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m
from support.system_calls import (EXCHANGE, KEEP_SIZE, NOREPLACE, PUNCH_HOLE, ZERO_RANGE, fallocate,
                                  link_open, rename2)

m.limit_time(240)
BASE = ""


class OnMount(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(dir=BASE)
        self.addCleanup(shutil.rmtree, self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def make(self, name, data=b""):
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def bytes_of(self, path):
        with open(path, "rb") as file:
            return file.read()

    def refused(self, code, call, *arguments):
        with self.assertRaises(OSError) as caught:
            call(*arguments)
        self.assertEqual(errno.errorcode[caught.exception.errno], errno.errorcode[code])


class Names(OnMount):
    def test_missing_and_present(self):
        file = self.make("a")
        self.refused(errno.ENOENT, os.stat, self.path("b"))
        self.refused(errno.EEXIST, os.open, file, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        self.refused(errno.EEXIST, os.mkdir, file)
        self.refused(errno.ENOTDIR, os.stat, file + "/x")
        self.refused(errno.EISDIR, os.open, self.dir, os.O_WRONLY)
        self.refused(errno.ENAMETOOLONG, os.stat, self.path("n" * 256))
        self.refused(errno.ENAMETOOLONG, os.mkdir, self.path("n" * 256))
        self.make("n" * 255)

    def test_directories(self):
        os.mkdir(self.path("d"))
        self.assertEqual(os.stat(self.dir).st_nlink, 3)
        self.make("d/f")
        self.refused(errno.ENOTEMPTY, os.rmdir, self.path("d"))
        self.refused(errno.ENOTDIR, os.rmdir, self.path("d/f"))
        self.refused(errno.EISDIR, os.unlink, self.path("d"))
        os.unlink(self.path("d/f"))
        os.rmdir(self.path("d"))
        self.assertEqual(os.listdir(self.dir), [])

    def test_rename(self):
        a, b, d = self.make("a", b"a"), self.make("b", b"b"), self.path("d")
        os.mkdir(d)
        self.refused(errno.EEXIST, rename2, a, b, NOREPLACE)
        rename2(a, b, EXCHANGE)
        self.assertEqual((self.bytes_of(a), self.bytes_of(b)), (b"b", b"a"))
        self.refused(errno.EISDIR, os.rename, a, d)
        self.refused(errno.ENOTDIR, os.rename, d, a)
        os.mkdir(self.path("d/e"))
        self.refused(errno.EINVAL, os.rename, d, self.path("d/e/x"))
        os.mkdir(self.path("full"))
        self.make("full/f")
        self.refused(errno.ENOTEMPTY, os.rename, self.path("d/e"), self.path("full"))
        os.replace(a, b)
        self.assertEqual(self.bytes_of(b), b"b")
        self.assertFalse(os.path.exists(a))

    def test_links(self):
        a = self.make("a", b"data")
        os.link(a, self.path("b"))
        self.assertEqual(os.stat(a).st_nlink, 2)
        os.unlink(a)
        self.assertEqual(self.bytes_of(self.path("b")), b"data")
        self.refused(errno.EPERM, os.link, self.dir, self.path("c"))
        os.symlink("nowhere", self.path("s"))
        self.assertEqual(os.readlink(self.path("s")), "nowhere")
        self.refused(errno.EINVAL, os.readlink, self.path("b"))
        os.mkfifo(self.path("fifo"))


class Content(OnMount):
    def test_unlinked_file_lives_while_open(self):
        with open(self.make("a", b"hello"), "r+b") as file:
            os.unlink(self.path("a"))
            self.assertEqual(os.listdir(self.dir), [])
            self.assertEqual(os.fstat(file.fileno()).st_nlink, 0)
            self.assertEqual(file.read(), b"hello")
            os.ftruncate(file.fileno(), 10_001)
            self.assertEqual(os.pread(file.fileno(), 20_000, 5), bytes(9996))

    def test_append_and_truncate(self):
        path = self.make("a", b"123456")
        with open(path, "ab") as file:
            file.write(b"789")
        self.assertEqual(self.bytes_of(path), b"123456789")
        os.truncate(path, 3)
        os.truncate(path, 6)
        self.assertEqual(self.bytes_of(path), b"123" + bytes(3))
        self.refused(errno.EINVAL, os.truncate, path, -1)
        os.close(os.open(path, os.O_RDONLY | os.O_TRUNC))
        self.assertEqual(self.bytes_of(path), b"")

    def test_large_file_written_in_place(self):
        data = bytearray(os.urandom(9 << 20))
        path = self.make("big", data)
        with open(path, "r+b") as file:
            for at in (0, 4095, 1 << 20, (8 << 20) + 17):
                os.pwrite(file.fileno(), b"changed", at)
                data[at:at + 7] = b"changed"
        self.assertEqual(self.bytes_of(path), data)

    def test_holes(self):
        fd = os.open(self.path("a"), os.O_RDWR | os.O_CREAT)
        self.addCleanup(os.close, fd)
        os.pwrite(fd, b"x" * 65536, 0)
        fallocate(fd, KEEP_SIZE, 0, 1 << 20)
        self.assertEqual(os.fstat(fd).st_size, 65536)
        fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 4096, 8192)
        fallocate(fd, ZERO_RANGE, 65530, 100)
        self.assertEqual(os.fstat(fd).st_size, 65630)
        self.assertEqual(os.pread(fd, 65630, 0),
                         b"x" * 4096 + bytes(8192) + b"x" * (65530 - 12288) + bytes(100))
        self.assertEqual(os.lseek(fd, 0, os.SEEK_HOLE), 4096)
        self.assertEqual(os.lseek(fd, 4096, os.SEEK_DATA), 12288)
        self.refused(errno.ENXIO, os.lseek, fd, 1 << 30, os.SEEK_DATA)
        self.refused(errno.EINVAL, fallocate, fd, 0, 0, 0)

    def test_shared_mmap_as_plasma_does(self):
        fd = os.open(self.path("plasma"), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self.addCleanup(os.close, fd)
        os.unlink(self.path("plasma"))
        size = (8 << 20) + 8
        os.ftruncate(fd, size)
        os.posix_fallocate(fd, 0, size)
        with mmap.mmap(fd, size) as memory:
            memory[5 << 20:(5 << 20) + 4] = b"abcd"
            child = os.fork()
            if child == 0:
                memory[0:4] = b"chld"
                os._exit(0)
            self.assertEqual(os.waitpid(child, 0)[1], 0)
            self.assertEqual(memory[0:4], b"chld")
            memory.flush()
        self.assertEqual(os.pread(fd, 4, 5 << 20), b"abcd")

    def test_shared_mmap_of_an_appender(self):
        path = self.make("a", bytes(20_000))
        with open(path, "a+b", buffering=0) as file, mmap.mmap(file.fileno(), 20_000) as memory:
            memory[4096:4100] = b"abcd"
            memory.flush()
            self.assertEqual(file.write(b"end"), 3)
        self.assertEqual(self.bytes_of(path), bytes(4096) + b"abcd" + bytes(15_900) + b"end")

    def test_o_direct(self):
        fd = os.open(self.path("a"), os.O_RDWR | os.O_CREAT | os.O_DIRECT)
        self.addCleanup(os.close, fd)
        with mmap.mmap(-1, 1 << 20) as buffer:
            buffer.write(b"d" * (1 << 20))
            self.assertEqual(os.pwritev(fd, [buffer], 0), 1 << 20)
            self.assertEqual(os.pwritev(fd, [buffer], 3 << 20), 1 << 20)
            self.assertEqual(os.preadv(fd, [buffer], 3 << 20), 1 << 20)
            self.assertEqual(buffer[:4], b"dddd")

    def test_tmpfile_gets_a_name(self):
        fd = os.open(self.dir, os.O_TMPFILE | os.O_RDWR, 0o600)
        self.addCleanup(os.close, fd)
        os.write(fd, b"nameless")
        self.assertEqual(os.listdir(self.dir), [])
        link_open(fd, self.path("named"))
        self.assertEqual(self.bytes_of(self.path("named")), b"nameless")

    def test_copy_file_range(self):
        path = self.make("a", os.urandom(100_000))
        with open(path, "rb") as a, open(self.path("b"), "w+b") as b:
            self.assertEqual(os.copy_file_range(a.fileno(), b.fileno(), 100_000), 100_000)
        self.assertEqual(self.bytes_of(self.path("b")), self.bytes_of(path))


class Attributes(OnMount):
    def test_times_and_modes(self):
        path = self.make("a")
        os.utime(path, ns=(1_234_567_890_123_456_789, 987_654_321_000_000_001))
        found = os.stat(path)
        self.assertEqual((found.st_atime_ns, found.st_mtime_ns),
                         (1_234_567_890_123_456_789, 987_654_321_000_000_001))
        os.chmod(path, 0o4755)
        os.chown(path, 12, 34)
        found = os.stat(path)
        self.assertEqual((found.st_mode, found.st_uid, found.st_gid), (0o100755, 12, 34))

    def test_xattrs(self):
        path = self.make("a")
        os.setxattr(path, "user.k", b"v", os.XATTR_CREATE)
        self.refused(errno.EEXIST, os.setxattr, path, "user.k", b"w", os.XATTR_CREATE)
        self.refused(errno.ENODATA, os.setxattr, path, "user.x", b"w", os.XATTR_REPLACE)
        self.assertEqual(os.getxattr(path, "user.k"), b"v")
        self.assertIn("user.k", os.listxattr(path))
        os.removexattr(path, "user.k")
        self.refused(errno.ENODATA, os.getxattr, path, "user.k")

    def test_locks(self):
        path = self.make("a")
        with open(path, "r+b") as one, open(path, "r+b") as two:
            fcntl.flock(one, fcntl.LOCK_EX)
            self.refused(errno.EAGAIN, fcntl.flock, two, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(one, fcntl.LOCK_UN)
            fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.lockf(one, fcntl.LOCK_EX)
            child = subprocess.run([sys.executable, "-c", f"""
import fcntl, sys
try:
    fcntl.lockf(open({path!r}, 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError as refused:
    sys.exit(refused.errno)"""], check=False)
            self.assertEqual(child.returncode, errno.EAGAIN)

    def test_permissions_hold_for_others(self):
        os.chmod(self.dir, 0o755)
        secret = self.make("secret", b"s")
        os.chmod(secret, 0o600)
        for command in (["cat", secret], ["touch", self.path("new")]):
            done = subprocess.run(command, user=65534, group=65534, extra_groups=[], check=False,
                                  capture_output=True, text=True)
            self.assertIn("Permission denied", done.stderr)


class Listing(OnMount):
    def test_each_name_once_while_others_are_deleted(self):
        kept = {f"keep{n}" for n in range(3000)}
        gone = [f"gone{n}" for n in range(3000)]
        for name in [*kept, *gone]:
            os.close(os.open(self.path(name), os.O_CREAT | os.O_WRONLY))
        seen = []
        with os.scandir(self.dir) as entries:
            for entry in entries:
                seen.append(entry.name)
                if gone:
                    os.unlink(self.path(gone.pop()))
        self.assertEqual(len(seen), len(set(seen)))
        self.assertLessEqual(kept, set(seen))
        self.assertEqual(set(os.listdir(self.dir)), kept | set(gone))


if __name__ == "__main__":
    plain = os.environ.get("SPILLFS_PLAIN")
    if plain:
        BASE = plain
        sys.exit(not unittest.main(exit=False).result.wasSuccessful())
    m.need_fuse()
    with m.mounted() as store:
        BASE = str(store.path)
        passed = unittest.main(exit=False).result.wasSuccessful()
    sys.exit(not passed)
