# SPDX-License-Identifier: Apache-2.0
"""Quotas, the index's reserve and the shares of what is scarce, against users who try every way
around them. What is measured is what lies on the disk."""
import ctypes
import errno
import json
import mmap
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import cases
from support import mounted as m
from support.cases import opened
from support.system_calls import fallocate
from support.users import as_user

m.need_fuse()
m.limit_time(200)
MIB = 1 << 20
QUOTA = 16 * MIB
# What a file takes beside its bytes: extents, attributes, a record's header.
SLACK = MIB
ALICE, BOB = 4001, 4002
NEW = os.O_CREAT | os.O_EXCL
FULL = (errno.EDQUOT, errno.ENOSPC)
PIECE = b"\xa5" * MIB


def attempt(call, *arguments):
    """The errno of a refused call, 0 of one that was done."""
    try:
        call(*arguments)
    except OSError as error:
        return error.errno
    return 0


def until_refused(call, limit):
    """How often call(number) was done before it was refused, and the errno (0: never)."""
    for number in range(limit):
        if code := attempt(call, number):
            return number, code
    return limit, 0


class OnStore(cases.OnStores):
    def on_disk(self, store):
        """Bytes of the data directory's files."""
        return sum(path.stat().st_blocks * 512
                   for path in (store.store / "segments").iterdir() if path.exists())


# Each gets a descriptor that may read and write a file, and writes 400 MiB into it as it can; it
# returns the errno it was refused with.
def by_write(fd):
    return until_refused(lambda _: os.write(fd, PIECE), 400)[1]


def by_pwrite_backwards(fd):
    return until_refused(lambda n: os.pwrite(fd, PIECE, (399 - n) * MIB), 400)[1]


def by_fallocate(fd):
    return attempt(fallocate, fd, 0, 0, 400 * MIB)


def by_fallocate_behind_the_end(fd):
    keep_size = 1
    return until_refused(lambda n: fallocate(fd, keep_size, n * MIB, MIB), 400)[1]


def by_mapping(fd):
    """Of a file that is all hole; what a mapping may not write is told by msync."""
    if code := attempt(os.ftruncate, fd, 64 * MIB):
        return code
    with mmap.mmap(fd, 64 * MIB) as mapping:
        for at in range(0, 64 * MIB, MIB):
            mapping[at:at + MIB] = PIECE
        return attempt(mapping.flush)


def by_copies(fd):
    with tempfile.TemporaryFile() as source:
        source.write(PIECE * 8)
        source.flush()
        return until_refused(lambda n: os.sendfile(fd, source.fileno(), 0, 8 * MIB), 50)[1]


def by_copy_file_range(fd):
    os.write(fd, PIECE)
    return until_refused(lambda n: os.copy_file_range(fd, fd, MIB, 0, (n + 1) * MIB), 400)[1]


def by_direct_writes(fd):
    buffer = mmap.mmap(-1, MIB)
    buffer[:] = PIECE
    with opened(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_DIRECT) as direct:
        return until_refused(lambda n: os.pwritev(direct, [buffer], n * MIB), 400)[1]


WAYS = (by_write, by_pwrite_backwards, by_fallocate, by_fallocate_behind_the_end, by_mapping,
        by_copies, by_copy_file_range, by_direct_writes)


class Writers(OnStore):
    def never_beyond(self, options, name_of_error):
        for way in WAYS:
            for flags in (os.O_RDWR, os.O_RDWR | os.O_DIRECT):
                if flags & os.O_DIRECT and way not in (by_fallocate, by_mapping):
                    continue
                with self.subTest(way=way.__name__, flags=flags), m.mounted(options) as store:
                    path = store.path / "file"
                    (store.path / "others").mkdir(0o777)

                    def grow(path=path, way=way, flags=flags):
                        with opened(path, flags | NEW) as fd:
                            return way(fd)
                    code = as_user(ALICE, lambda grow=grow: attempt_or(grow))
                    self.assertLessEqual(self.on_disk(store), QUOTA + SLACK)
                    self.assertEqual(errno.errorcode[code], name_of_error)

    def test_of_a_user_with_a_quota(self):
        self.never_beyond("user_quota=16MiB,space_wait=1s,pool=0", "EDQUOT")

    def test_of_a_mount_with_a_quota(self):
        self.never_beyond("quota=16MiB,space_wait=1s,pool=0", "ENOSPC")

    def test_beside_readers_who_have_it_without_the_daemon(self):
        """The kernel does the readers' I/O by itself: no writer comes in by the same door."""
        for way in WAYS:
            with self.subTest(way=way.__name__), \
                    m.mounted("user_quota=16MiB,space_wait=1s,pool=0") as store:
                path = store.path / "file"

                def grow(path=path, way=way):
                    path.write_bytes(PIECE * 6)
                    with opened(path, os.O_RDONLY) as reader:
                        assert os.pread(reader, 1, 0) == PIECE[:1]
                        with opened(path, os.O_RDWR) as fd:
                            return way(fd)
                code = as_user(ALICE, lambda grow=grow: attempt_or(grow))
                self.assertLessEqual(self.on_disk(store), QUOTA + SLACK)
                self.assertEqual(errno.errorcode[code], "EDQUOT")
                self.assertEqual(path.read_bytes()[:MIB], PIECE)

    def test_a_mapping_that_outlives_its_descriptor(self):
        """Made beside a reader, so that it is of the backing file; then the file grows below it."""
        with m.mounted("user_quota=16MiB,space_wait=1s,pool=0") as store:
            path = store.path / "file"

            def grow():
                path.write_bytes(PIECE * 6)
                with opened(path, os.O_RDONLY), opened(path, os.O_RDWR) as fd:
                    mapping = mmap.mmap(fd, 6 * MIB)
                    libc = ctypes.CDLL(None, use_errno=True)
                    libc.mmap.restype = ctypes.c_void_p
                    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int,
                                          ctypes.c_int, ctypes.c_int, ctypes.c_long)
                    far = libc.mmap(None, 400 * MIB, 3, mmap.MAP_SHARED, fd, 0)
                assert far not in (None, ctypes.c_void_p(-1).value)
                codes = [attempt(os.truncate, path, size * MIB) for size in (12, 400)]
                for at in range(0, os.stat(path).st_size, 4096):
                    ctypes.memset(far + at, 0x5a, 1)
                mapping.close()
                return codes
            self.assertEqual(as_user(ALICE, grow), [0, errno.EDQUOT])
            self.assertLessEqual(self.on_disk(store), QUOTA + SLACK)

    def test_others_get_theirs(self):
        store = self.mounted("user_quota=16MiB,space_wait=1s")
        grow = lambda: by_write(os.open(store.path / "alice's", os.O_RDWR | NEW))
        self.assertEqual(as_user(ALICE, grow), errno.EDQUOT)
        as_user(BOB, lambda: (store.path / "bob's").write_bytes(PIECE * 12))
        self.assertEqual((store.path / "bob's").read_bytes(), PIECE * 12)
        self.ended_well(store)


def attempt_or(call):
    """What call() returns, or the errno it is refused with."""
    try:
        return call()
    except OSError as error:
        return error.errno


class SmallDisk(OnStore):
    def disk(self, mib):
        root = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-disk-"))
        self.addCleanup(root.rmdir)
        image = pathlib.Path(tempfile.mkstemp(prefix="spillfs-image-")[1])
        self.addCleanup(image.unlink)
        os.truncate(image, mib * MIB)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
        done = subprocess.run(["mount", "-o", "loop", image, root], capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            self.skipTest(f"no disk of our own: {done.stderr}")
        self.addCleanup(subprocess.run, ["umount", "-l", root], check=True)
        os.chmod(root, 0o755)
        return root

    def goes_on(self, store):
        """The index takes changes: names come and go, then bytes, and the mount ends in order."""
        for number in range(200):
            as_user(BOB, (store.path / f"bob{number}").touch)
        for path in store.path.glob("bob*"):
            path.unlink()
        (store.path / "file").unlink()
        m.wait_until(lambda: as_user(BOB, lambda: attempt(
            (store.path / "bob's").write_bytes, PIECE * 8)) == 0, 20, "room for bytes")
        self.ended_well(store)

    def test_the_reserve_holds(self):
        """Data leave it to the index, whoever writes them and however."""
        for uid in (ALICE, 0):
            for way in (by_write, by_pwrite_backwards, by_fallocate_behind_the_end, by_mapping):
                with self.subTest(uid=uid, way=way.__name__):
                    disk = self.disk(512)
                    store = self.mounted("index_reserve=400MiB,space_wait=1s,pool=0", disk)

                    def grow(store=store, way=way):
                        with opened(store.path / "file", os.O_RDWR | NEW) as fd:
                            return way(fd)
                    code = as_user(uid, lambda grow=grow: attempt_or(grow))
                    if way is not by_mapping:
                        self.assertEqual(code, errno.ENOSPC)
                    self.assertGreater(m.free_bytes(disk), 380 * MIB)
                    self.goes_on(store)

    def test_names_and_xattrs_leave_room_for_deletes(self):
        """Nobody has a quota, and the data are elsewhere: the index's disk is filled by xattrs."""
        disk, data = self.disk(96), self.disk(64)
        store = self.mounted(f"data={data},space_wait=1s", disk)
        (store.path / "alice").mkdir()
        os.chown(store.path / "alice", ALICE, ALICE)
        as_user(BOB, (store.path / "bob's").touch)

        def fill(number):
            path = store.path / "alice" / f"file{number // 30}"
            if number % 30 == 0:
                path.touch()
            os.setxattr(path, f"user.{number}", os.urandom(65000))
        done, code = as_user(ALICE, lambda: until_refused(fill, 3000))
        self.assertEqual(code, errno.ENOSPC)
        self.assertGreater(done, 100)
        self.assertGreater(m.free_bytes(disk), 4 * MIB)
        as_user(BOB, (store.path / "bob's").unlink)
        for path in (store.path / "alice").iterdir():
            path.unlink()
        self.assertEqual(os.listdir(store.path / "alice"), [])
        self.ended_well(store)


class Names(OnStore):
    def fills(self, make, least, most, options="user_quota=1MiB,space_wait=1s"):
        """make(directory, number) until it is refused; returns the directory and how often."""
        store = self.mounted(options)
        folder = store.path / "alice"
        folder.mkdir()
        os.chown(folder, ALICE, ALICE)
        done, code = as_user(ALICE, lambda: until_refused(lambda n: make(folder, n), most + 1))
        self.assertEqual(errno.errorcode.get(code), "EDQUOT" if "user" in options else "ENOSPC")
        self.assertGreaterEqual(done, least)
        self.assertEqual(as_user(BOB, lambda: attempt((store.path / "bob's").touch)),
                         0 if "user" in options else errno.ENOSPC)
        return store, folder, done

    def test_empty_files(self):
        store, folder, done = self.fills(lambda folder, n: (folder / f"{n:0>250}").touch(), 900, 1024)
        self.assertEqual(json.loads((store.path / ".spillfs/users").read_text())[str(ALICE)],
                         (done + 1) * 1024, "the folder, too")
        store.umount()
        store.mount()  # they count after it, too
        touch = lambda: attempt((folder / "more").touch)
        self.assertEqual(as_user(ALICE, touch), errno.EDQUOT)
        for path in list(folder.iterdir())[:10]:
            path.unlink()
        m.wait_until(lambda: as_user(ALICE, touch) == 0, 10, "room for a name")
        self.ended_well(store)

    def test_of_a_mount_with_a_quota(self):
        store, _, _ = self.fills(lambda folder, n: (folder / str(n)).touch(), 900, 1024,
                                 "quota=1MiB,space_wait=1s")
        self.ended_well(store)

    def test_directories(self):
        store, _, _ = self.fills(lambda folder, n: (folder / str(n)).mkdir(), 900, 1024)
        self.ended_well(store)

    def test_symlinks(self):
        store, _, _ = self.fills(lambda folder, n: (folder / str(n)).symlink_to("x" * 4000), 180, 210)
        self.ended_well(store)

    def test_hard_links(self):
        def link(folder, number):
            if number == 0:
                (folder / "file").touch()
            os.link(folder / "file", folder / str(number))
        store, _, _ = self.fills(link, 1900, 2048)
        self.ended_well(store)

    def test_fifos(self):
        store, _, _ = self.fills(lambda folder, n: os.mkfifo(folder / str(n)), 900, 1024)
        self.ended_well(store)

    def test_files_without_a_name(self):
        """Open until their process ends."""
        store, _, _ = self.fills(lambda folder, n: os.open(folder, os.O_TMPFILE | os.O_RDWR), 700,
                                 800, "user_quota=400KiB,space_wait=1s")
        self.ended_well(store)

    def test_xattrs(self):
        def add(folder, number):
            os.setxattr(folder, f"user.{number}", bytes(65000))
        store, folder, done = self.fills(add, 13, 16)
        for number in range(done):
            os.removexattr(folder, f"user.{number}")
        as_user(ALICE, lambda: os.setxattr(folder, "user.again", bytes(65000)))
        self.ended_well(store)

    def test_what_others_do_with_a_file(self):
        """Its owner pays for what those do whom it lets write; it gets no further names of others."""
        store = self.mounted("user_quota=1MiB,space_wait=1s")
        path, elsewhere = store.path / "alice's", store.path / "bob"
        as_user(ALICE, path.touch)
        path.chmod(0o666)
        as_user(BOB, elsewhere.mkdir)
        users = lambda: json.loads((store.path / ".spillfs/users").read_text())
        before = users()
        self.assertEqual(as_user(BOB, lambda: attempt(os.link, path, elsewhere / "mine")),
                         errno.EPERM)
        self.assertEqual(users(), before)
        os.link(path, store.path / "root's")
        as_user(ALICE, lambda: os.link(path, store.path / "alice's too"))
        self.assertEqual(users()[str(ALICE)], before[str(ALICE)] + 2 * 512)
        os.chown(path, BOB, BOB)
        self.assertEqual(users(), {**{k: v for k, v in before.items() if k != str(ALICE)},
                                   str(BOB): before[str(BOB)] + before[str(ALICE)] + 2 * 512})
        self.ended_well(store)


class Holding:
    """A user's process that opens files, up to `count`, and holds them for the time of a block."""

    def __init__(self, uid, path, count):
        self.results, result = os.pipe()
        ends, self.end = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            os.close(self.end)
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            found = until_refused(lambda _: os.open(path, os.O_RDONLY), count)
            os.write(result, json.dumps(found).encode())
            os.read(ends, 1)
            os._exit(0)
        os.close(result)
        os.close(ends)

    def __enter__(self):
        with open(self.results, "rb", closefd=True) as file:
            self.found = tuple(json.loads(os.read(file.fileno(), 100)))
        return self.found

    def __exit__(self, *_):
        os.close(self.end)
        os.waitpid(self.child, 0)


class Shares(OnStore):
    def file_on(self, options):
        store = self.mounted(options)
        path = store.path / "file"
        path.write_bytes(b"x")
        path.chmod(0o644)
        return store, path

    def test_of_open_files(self):
        store, path = self.file_on("user_handles=100")
        with Holding(ALICE, path, 200) as held:
            self.assertEqual(held, (100, errno.EMFILE))
            new = store.path / "new"
            self.assertEqual(as_user(ALICE, lambda: attempt(os.open, new, os.O_WRONLY | NEW)),
                             errno.EMFILE)
            self.assertFalse(new.exists())
            with Holding(BOB, path, 50) as others, Holding(0, path, 150) as roots:
                self.assertEqual((others, roots), ((50, 0), (150, 0)))
        m.wait_until(lambda: as_user(ALICE, lambda: until_refused(
            lambda _: os.open(path, os.O_RDONLY), 90)) == (90, 0), 10, "they are back")
        self.ended_well(store)

    def test_of_open_files_after_a_restart(self):
        store, path = self.file_on("user_handles=100")
        if not store.goes_on():
            self.skipTest("no worker goes on here")
        with Holding(ALICE, path, 60) as held:
            self.assertEqual(held, (60, 0))
            store.kill_worker()
            with Holding(ALICE, path, 60) as more:
                self.assertEqual(more, (40, errno.EMFILE))
        store.umount()
        store.check()

    def test_of_control_files(self):
        store = self.mounted("")

        def take():
            opens = lambda n: os.open(store.path / ".spillfs/status", os.O_RDONLY)
            return until_refused(opens, 400)
        self.assertEqual(as_user(ALICE, take), (256, errno.EMFILE))
        self.assertTrue(store.status())
        self.ended_well(store)


if __name__ == "__main__":
    unittest.main(verbosity=2)
