# SPDX-License-Identifier: Apache-2.0
"""Many users on one mount: each has a quota, nobody sees what is another's, and blocks that come
back from a deleted file show nothing of it."""
import contextlib
import errno
import json
import mmap
import os
import pathlib
import stat
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m
from support.cases import opened
from support.system_calls import KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, fallocate, last_page
from support.users import as_user

m.need_fuse()
m.limit_time(140)
MIB = 1 << 20
ALICE, BOB = 4001, 4002
NEW = os.O_CREAT | os.O_EXCL
CAPABILITY = struct.pack("<5I", 0x02000001, 1, 0, 0, 0)  # of a program that may CAP_CHOWN
DIRECT = os.O_DIRECT


def read(path):
    return pathlib.Path(path).read_bytes()


def ray_record(data):
    return struct.pack("<QQQ", 1, 1, len(data)) + b"om" + data


def write(path, size, flags=os.O_WRONLY):
    """Writes zeros until done or refused; returns the errno, 0 for success."""
    with opened(path, flags | os.O_CREAT) as fd:
        try:
            for at in range(0, size, MIB):
                os.pwrite(fd, bytes(min(MIB, size - at)), at)
        except OSError as error:
            return error.errno
    return 0


class OnStore(unittest.TestCase):
    options = ""

    def setUp(self):
        self.store = m.Mounted(self.options)
        self.addCleanup(self.store.close)
        self.store.mount()
        self.root = str(self.store.path)

    def ended_well(self):
        self.store.umount()
        self.store.check()
        self.store.check_log()

    def path(self, name):
        return os.path.join(self.root, name)

    def refused(self, code, call, *arguments, uid=BOB, groups=()):
        with self.assertRaises(OSError) as caught:
            as_user(uid, lambda: call(*arguments), groups)
        self.assertEqual(caught.exception.errno, code, caught.exception)


class Quota(OnStore):
    # Beside 16 MiB of bytes, a few names and xattrs.
    options = "user_quota=16388KiB,space_wait=15s"

    def write(self, uid, name, mib, flags=os.O_WRONLY):
        return as_user(uid, lambda: write(self.path(name), mib * MIB, flags))

    def users(self):
        return json.loads(read(self.path(".spillfs/users")))

    def free_mib(self, uid):
        return as_user(uid, lambda: m.free_bytes(self.root)) / MIB

    def test_of_each_user(self):
        self.assertEqual(self.write(ALICE, "a", 20), errno.EDQUOT)
        self.assertEqual(read(self.path("a")), bytes(16 * MIB), "what was acknowledged")
        small = as_user(ALICE, lambda: write(self.path("small"), 10_000))
        self.assertEqual(small, errno.EDQUOT)
        self.assertEqual(self.write(BOB, "b", 10), 0)
        self.assertEqual(write(self.path("root's"), 40 * MIB), 0)
        self.assertEqual(self.free_mib(ALICE), 0)
        self.assertEqual(self.free_mib(BOB), 6)
        self.assertEqual(as_user(BOB, lambda: os.statvfs(self.root).f_blocks * 4096),
                         16 * MIB + 4096)
        # Each file counts 1 KiB for its inode and its name.
        self.assertEqual(self.users(), {"0": 40 * MIB + 1024, str(ALICE): 16 * MIB + 2 * 1024,
                                        str(BOB): 10 * MIB + 1024})
        self.refused(errno.EACCES, read, self.path(".spillfs/users"))

        def allocate():
            with opened(self.path("allocated"), os.O_RDWR | NEW) as fd:
                fallocate(fd, 0, 0, 7 * MIB)
        self.refused(errno.EDQUOT, allocate)
        os.unlink(self.path("allocated"))  # its segment's attribute may take a block
        self.store.umount()
        self.store.mount()
        self.assertEqual(self.write(ALICE, "more", 1), errno.EDQUOT)
        os.unlink(self.path("a"))
        self.assertEqual(self.write(ALICE, "again", 15), 0)
        os.chown(self.path("b"), ALICE, ALICE)
        self.assertEqual(self.users()[str(ALICE)], 25 * MIB + 4 * 1024)
        self.assertEqual(int(self.free_mib(BOB)), 16)
        self.ended_well()

    def test_what_is_held_is_not_free(self):
        """Its user gets no more than a quarter on top; others have theirs."""
        def hold():
            for number in range(10):
                path = self.path(f"held{number}")
                code = write(path, 3 * MIB)
                os.open(path, os.O_PATH)  # until the process ends
                os.unlink(path)
                if code:
                    return number, code
            return None
        self.assertEqual(as_user(ALICE, hold), (6, errno.ENOSPC))
        self.assertEqual(self.write(BOB, "b", 10), 0)
        m.wait_until(lambda: self.write(ALICE, "again", 12) == 0, 10, "the space")
        self.ended_well()

    def test_through_descriptors_that_read_and_write(self):
        """Whose bytes the daemon sees: else the kernel would not ask."""
        self.assertEqual(self.write(ALICE, "grows", 30, os.O_RDWR), errno.EDQUOT)
        self.assertEqual(self.free_mib(ALICE), 0)
        self.assertEqual(self.write(ALICE, "new", 1, os.O_RDWR), errno.EDQUOT)
        self.assertEqual(self.write(BOB, "b", 10), 0)
        os.truncate(self.path("grows"), MIB)
        self.assertEqual(self.write(ALICE, "new", 10, os.O_RDWR), 0)
        self.ended_well()


class Permissions(OnStore):
    """One mount; its store lay there before, open to all, and nobody masks modes."""

    def setUp(self):
        self.addCleanup(os.umask, os.umask(0))
        self.store = m.Mounted("pool=64MiB")
        self.addCleanup(self.store.close)
        self.store.store.mkdir(0o755)
        self.store.mount()
        self.root = str(self.store.path)

    def make(self, name, mode, data=b"secret", uid=ALICE):
        def make():
            with opened(self.path(name), os.O_WRONLY | NEW, mode) as fd:
                os.write(fd, data)
        as_user(uid, make)
        return self.path(name)

    def test_everything(self):
        self.secrets()
        self.objects()
        self.xattrs()
        self.names()
        self.others_files()
        self.modes()
        self.backing_files()
        self.names_stay_inside()
        self.ended_well()

    def secrets(self):
        secret = self.make("secret", 0o600)
        large = self.make("large secret", 0o600, b"secret" * MIB)
        os.mkdir(self.path("closed"), 0o700)
        inside = self.make("closed/inside", 0o644, uid=0)

        def reopen(path):
            with opened(path, os.O_PATH) as fd:
                read(f"/proc/self/fd/{fd}")
        for path in (secret, large):
            self.refused(errno.EACCES, read, path)
            self.refused(errno.EACCES, reopen, path)
            self.refused(errno.EACCES, os.truncate, path, 0)
            self.refused(errno.EACCES, os.open, path, os.O_WRONLY)
        self.refused(errno.EACCES, read, inside)
        self.refused(errno.EACCES, os.listdir, self.path("closed"))
        self.assertEqual(as_user(ALICE, lambda: read(secret)), b"secret")
        for path in (".spillfs/segments", ".spillfs/segments/1.fused", ".spillfs/users"):
            call = os.listdir if path.endswith("segments") else read
            self.refused(errno.EACCES, call, self.path(path))

    def objects(self):
        objects = self.path(".spillfs/objects")
        os.mkdir(self.path("hidden"), 0o755)
        self.make("hidden/readable", 0o644, ray_record(b"secret"), uid=0)
        self.make("readable", 0o644, ray_record(b"known"))
        self.make("closed ray", 0o600, ray_record(b"secret"))
        self.assertEqual(as_user(BOB, lambda: read(f"{objects}/readable/0")), b"known")
        hidden = f"{objects}/hidden/readable/0"
        self.assertEqual(as_user(BOB, lambda: read(hidden)), b"secret", "while it is open")
        os.chmod(self.path("hidden"), 0o700)
        for path in (hidden, f"{objects}/closed ray/0"):
            self.refused(errno.EACCES, read, path)
            self.refused(errno.EACCES, os.stat, path)
            self.refused(errno.EACCES, os.getxattr, path, "user.spill.owner_address")
            self.refused(errno.EACCES, os.listxattr, path)
        self.refused(errno.EACCES, os.listdir, f"{objects}/hidden")
        self.refused(errno.EACCES, os.listdir, f"{objects}/closed ray")

        os.chmod(self.path("hidden"), 0o755)
        with opened(f"{objects}/hidden", os.O_PATH) as fd:
            os.chmod(self.path("hidden"), 0o700)
            self.refused(errno.EACCES, lambda: os.stat("readable/0", dir_fd=fd))

    def xattrs(self):
        path = self.make("xattrs", 0o644)
        os.setxattr(path, "trusted.t", b"1")
        os.setxattr(path, "security.s", b"1")
        as_user(ALICE, lambda: os.setxattr(path, "user.u", b"1"))
        self.assertEqual(set(os.listxattr(path)), {"trusted.t", "security.s", "user.u"})
        self.assertTrue(os.getxattr(path, "user.spill.url"))
        for uid in (ALICE, BOB):
            self.assertEqual(set(as_user(uid, lambda: os.listxattr(path))),
                             {"security.s", "user.u"})
            for name in ("trusted.t", "user.spill.url"):
                self.refused(errno.ENODATA, os.getxattr, path, name, uid=uid)
            for name in ("trusted.t", "security.s"):
                self.refused(errno.EPERM, os.setxattr, path, name, b"2", uid=uid)
        url = os.getxattr(path, "user.spill.url")
        as_user(ALICE, lambda: os.setxattr(path, "user.spill.url", b"2"))
        self.assertEqual(os.getxattr(path, "user.spill.url"), url)
        self.refused(errno.EACCES, os.setxattr, path, "user.spill.url", b"2")
        self.refused(errno.EACCES, os.setxattr, path, "user.u", b"2")
        secret = self.make("secret xattrs", 0o600)
        self.refused(errno.EACCES, os.getxattr, secret, "user.u")

    def names(self):
        """In a sticky directory what is another's stays."""
        path = self.make("sticky", 0o666)
        mine = self.make("mine", 0o666, uid=BOB)
        self.assertEqual(stat.S_IMODE(os.stat(self.root).st_mode), 0o1777)
        self.refused(errno.EPERM, os.unlink, path)
        self.refused(errno.EPERM, os.rename, path, self.path("taken"))
        self.refused(errno.EPERM, os.rename, mine, path)
        as_user(BOB, lambda: os.rename(mine, self.path("mine too")))
        secret = self.make("not to be linked", 0o600)
        if read("/proc/sys/fs/protected_hardlinks").strip() == b"1":
            self.refused(errno.EPERM, os.link, secret, self.path("linked"))
        as_user(ALICE, lambda: os.link(secret, self.path("linked")))

    def others_files(self):
        path = self.make("alice's", 0o666)
        self.refused(errno.EPERM, os.chmod, path, 0o777)
        self.refused(errno.EPERM, os.chown, path, BOB, BOB)
        self.refused(errno.EPERM, os.chown, path, BOB, -1, uid=ALICE)
        self.refused(errno.EPERM, os.chown, path, -1, BOB, uid=ALICE)
        as_user(ALICE, lambda: os.chown(path, -1, 5000), groups=(5000,))
        self.refused(errno.EPERM, os.utime, path, (1, 1))
        as_user(BOB, lambda: os.utime(path))

    def modes(self):
        for size in (10, 6 * MIB):
            for flags in (os.O_WRONLY, os.O_RDWR):
                path = self.make(f"program {size} {flags}", 0o666, b"x" * size)
                os.chmod(path, 0o6777)

                def change():
                    with opened(path, flags) as fd:
                        os.pwrite(fd, b"y", 0)
                os.setxattr(path, "security.capability", CAPABILITY)
                as_user(BOB, change)
                self.assertNotIn("security.capability", os.listxattr(path), path)
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o777, path)
                os.chmod(path, 0o6777)
                as_user(BOB, lambda: os.truncate(path, 5))
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o777, path)
                os.chmod(path, 0o6777)
                os.chown(path, BOB, BOB)
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o777, path)
        os.mkdir(self.path("shared"))
        os.chown(self.path("shared"), 0, 5000)
        os.chmod(self.path("shared"), 0o2777)
        self.make("shared/file", 0o2770)
        as_user(ALICE, lambda: os.mkdir(self.path("shared/folder")))
        file, folder = (os.stat(self.path(f"shared/{name}")) for name in ("file", "folder"))
        self.assertEqual((file.st_uid, file.st_gid), (ALICE, 5000))
        self.assertEqual(stat.S_IMODE(file.st_mode), 0o770, "not in the group")
        self.assertEqual((folder.st_gid, folder.st_mode & stat.S_ISGID), (5000, stat.S_ISGID))

    def backing_files(self):
        for folder, folders, files in os.walk(self.store.store):
            for name in folders + files:
                mode = os.lstat(os.path.join(folder, name)).st_mode
                self.assertEqual(mode & 0o077, 0, os.path.join(folder, name))
        self.assertGreater(len(list(self.store.store.glob("segments/*"))), 3)

    def names_stay_inside(self):
        os.mkdir(self.path("sub"))
        os.mkdir(self.path("sub/.spillfs"))
        self.make("sub/.spillfs/status", 0o644, b"mine", uid=0)
        self.assertEqual(read(self.path("sub/.spillfs/status")), b"mine")
        for call in (os.rename, os.replace):
            with self.assertRaises(PermissionError):
                call(self.path("sub/.spillfs"), self.path(".spillfs"))
        with self.assertRaises(OSError) as caught:
            with opened(self.path("x" * 256), os.O_WRONLY | NEW):
                pass
        self.assertEqual(caught.exception.errno, errno.ENAMETOOLONG)
        odd = [b"x" * 255, b"\xff\xfe\x80", b"...", b"\n", b"a\\040b", b"-rf", b" "]
        for name in odd:
            path = os.path.join(os.fsencode(self.path("sub")), name)
            with open(path, "wb") as file:
                file.write(name)
            os.setxattr(path, b"user." + name[:250], name)
            self.assertEqual(os.getxattr(path, b"user." + name[:250]), name)
        self.assertEqual(set(os.listdir(os.fsencode(self.path("sub")))), {b".spillfs", *odd})
        for at, target in enumerate(("/etc/passwd", "../../etc/passwd", str(self.store.store))):
            link = self.path(f"sub/link{at}")
            os.symlink(target, link)
            self.assertEqual(os.readlink(link), target)
            with self.assertRaises(OSError):
                os.listdir(self.path(f".spillfs/objects/sub/link{at}"))


class DataDirectories(unittest.TestCase):
    def test_links_inside_are_refused(self):
        store = m.Mounted()
        self.addCleanup(store.close)
        victim = store.root / "victim"
        for name in ("real", "store", "victim"):
            (store.root / name).mkdir()
        (store.root / "data").symlink_to("real")
        store.options = f"data={store.root}/data"
        store.mount()
        (store.path / "file").write_bytes(b"x" * 1000)
        segments = store.root / "real/segments"
        self.assertEqual(len(list(segments.iterdir())), 1, "a data directory may be a link")
        segments.rename(store.root / "moved")
        segments.symlink_to(victim)
        (store.path / "large").write_bytes(b"x" * 6 * MIB)
        self.assertEqual(len((store.path / "large").read_bytes()), 6 * MIB)
        self.assertEqual(list(victim.iterdir()), [])
        store.umount()
        done = m.spillfs("mount", store.store, store.path)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("has to be a directory", done.stderr)
        self.assertEqual(list(victim.iterdir()), [])
        segments.unlink()
        (store.root / "moved").rename(segments)
        store.check()


OLD = b"\xa5" * MIB  # what was Alice's; no byte of Bob's has its highest bit set
NEWER = bytes(range(128)) * (MIB // 128)


def stream(fd, size):
    for at in range(0, size, MIB):
        os.write(fd, NEWER[:min(MIB, size - at)])


def sparse(fd):
    os.pwrite(fd, b"b", 0)
    os.pwrite(fd, b"b", 3 * MIB + 5)


def gap(fd):
    stream(fd, 5 * MIB + 7)
    os.lseek(fd, MIB + 3, os.SEEK_CUR)
    os.write(fd, b"b")


def longer(fd):
    os.write(fd, b"b" * 100)
    os.ftruncate(fd, 5 * MIB)


def streamed_longer(fd):
    stream(fd, 5 * MIB + 100)
    os.ftruncate(fd, 6 * MIB)


def shorter_longer(fd):
    stream(fd, 5 * MIB)
    os.ftruncate(fd, MIB + 1)
    os.ftruncate(fd, 5 * MIB)


def emptied(fd):
    stream(fd, 5 * MIB)
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"b", 4 * MIB)


def allocated(mode, written=0):
    def allocate(fd):
        stream(fd, written)
        with contextlib.suppress(OSError):  # not every file system has every mode
            fallocate(fd, mode, MIB + 5, 4 * MIB)
        os.ftruncate(fd, max(os.fstat(fd).st_size, 6 * MIB))
    return allocate


def aligned(fd):
    with mmap.mmap(-1, MIB) as buffer:
        buffer[:] = NEWER
        os.pwritev(fd, [buffer], MIB)
        os.pwritev(fd, [buffer], 4 * MIB)


def mapped_end(fd):
    stream(fd, 5 * MIB + 100)


BOTH, ONE = os.O_RDWR, os.O_WRONLY
WAYS = {
    "sparse": (BOTH, sparse), "sparse stream": (ONE, sparse), "gap": (ONE, gap),
    "longer": (BOTH, longer), "longer stream": (ONE, longer),
    "streamed longer": (ONE, streamed_longer), "both longer": (BOTH, streamed_longer),
    "shorter, longer": (ONE, shorter_longer), "emptied": (ONE, emptied),
    "allocated": (BOTH, allocated(0)), "kept": (ONE, allocated(KEEP_SIZE)),
    "kept behind": (ONE, allocated(KEEP_SIZE, 5 * MIB)),
    "punched": (ONE, allocated(PUNCH_HOLE | KEEP_SIZE, 5 * MIB + 9)),
    "zeroed": (ONE, allocated(ZERO_RANGE, 5 * MIB)),
    "zeroed, kept": (BOTH, allocated(ZERO_RANGE | KEEP_SIZE)),
    "aligned": (ONE | DIRECT, aligned), "aligned both": (BOTH | DIRECT, aligned),
    "end": (ONE, mapped_end),
}


class RecycledBlocks:
    """What Bob's new files show, in every way they can be made, while Alice's blocks wait."""

    def setUp(self):
        super().setUp()
        self.dir = self.path("bob")
        os.mkdir(self.dir)
        os.chown(self.dir, BOB, BOB)
        self.fill_the_pool()

    def fill_the_pool(self):
        paths = [self.path(f"alice{number}") for number in range(len(WAYS) + 8)]

        def write_all():
            for path in paths:
                with opened(path, os.O_WRONLY | NEW) as fd:
                    for _ in range(6):
                        os.write(fd, OLD)
            for path in paths:
                os.unlink(path)
        as_user(ALICE, write_all)
        m.wait_until(lambda: self.status()["dead_bytes"] == 0, 10, "all of it is free")
        self.assertGreater(self.pool_mib(), 4 * len(WAYS))

    def status(self):
        return json.loads(read(self.path(".spillfs/status")))

    def pool_mib(self):
        return self.status()["pool_bytes"] // MIB

    def look(self, path, what):
        """Every byte of the file, in each way, and the rest of its last page."""
        for flag in (os.O_RDONLY, os.O_RDONLY | DIRECT, os.O_RDWR):
            size = os.stat(path).st_size
            pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
            with opened(path, flag) as fd, mmap.mmap(-1, pages or mmap.PAGESIZE) as buffer:
                self.assertEqual(os.preadv(fd, [buffer], 0), size)
                self.assertEqual(buffer.find(b"\xa5"), -1, f"{what}, {flag:o}")
                if flag & DIRECT or size == 0:
                    continue
                access = mmap.PROT_READ | (mmap.PROT_WRITE if flag == os.O_RDWR else 0)
                with mmap.mmap(fd, size, prot=access) as memory:
                    self.assertEqual(memory.find(b"\xa5"), -1, f"{what}, mapped, {flag:o}")
                behind = last_page(fd, size, access)[(size - 1) % mmap.PAGESIZE + 1:]
                self.assertEqual(behind.strip(b"\0"), b"", f"{what}, behind its end, {flag:o}")

    def make_all(self):
        for name, (access, way) in WAYS.items():
            with opened(f"{self.dir}/{name}", access | NEW) as fd:
                way(fd)
                with opened(f"{self.dir}/{name}", os.O_RDONLY) as other:
                    found = b"".join(iter(lambda f=other: os.read(f, MIB), b""))
                assert b"\xa5" not in found, f"{name}, before its close"
            self.look(f"{self.dir}/{name}", name)
        with opened(f"{self.dir}/gap", os.O_RDONLY) as source, \
                opened(f"{self.dir}/copied", os.O_WRONLY | NEW) as target:
            os.copy_file_range(source, target, 5 * MIB, 0, MIB + 77)
        self.look(f"{self.dir}/copied", "copied")

    def test_show_nothing_of_what_they_were(self):
        before = self.pool_mib()
        as_user(BOB, self.make_all)
        self.assertLess(self.pool_mib(), before, "nothing was recycled")
        # Kept open, sealed once and not at all, and then everything dies.
        held = [os.open(f"{self.dir}/{name}", os.O_WRONLY | NEW) for name in ("sealed", "unsealed")]
        for fd in held:
            stream(fd, 5 * MIB + 11)
        os.fsync(held[0])
        stream(held[0], 3 * MIB)
        self.store.kill()
        for fd in held:
            with contextlib.suppress(OSError):
                os.close(fd)
        subprocess.run(["umount", "-l", self.root], check=False, capture_output=True)
        self.store.mount()
        self.assertFalse(os.path.exists(f"{self.dir}/unsealed"))
        for name in os.listdir(self.dir):
            path = f"{self.dir}/{name}"
            os.truncate(path, os.stat(path).st_size + MIB + 3)
            self.look(path, f"{name}, killed, longer")
        self.ended_well()


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite(loader.loadTestsFromTestCase(case)
                               for case in (Quota, Permissions, DataDirectories))
    for number, mode in enumerate(("write=auto", "write=direct", "without=all")):
        options = f"user_quota=4GiB,pool=512MiB,{mode}"
        case = type(f"RecycledBlocks{number}", (RecycledBlocks, OnStore), {"options": options})
        suite.addTests(loader.loadTestsFromTestCase(case))
    return suite


if __name__ == "__main__":
    unittest.main(verbosity=1)
