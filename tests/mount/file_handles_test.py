# SPDX-License-Identifier: Apache-2.0
"""What a file handle names is found when the kernel has forgotten it, and over a remount; what was
deleted is not, and no number comes back as another file's."""
import contextlib
import errno
import os
import pathlib
import stat
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m
from support.cases import OnStores, opened
from support.file_handles import drop_caches, handle_of, open_handle
from support.system_calls import link_open

m.need_fuse()
m.limit_time(100)
MIB = 1 << 20
SMALL, LARGE = b"small", os.urandom(5 * MIB)


def make_tree(root):
    """Every kind of inode, and names that were changed: path and content of each file."""
    (root / "a/b/c").mkdir(parents=True)
    files = {"small": SMALL, "a/large": LARGE, "a/b/c/deep": b"deep", "empty": b""}
    for name, content in files.items():
        (root / name).write_bytes(content)
    (root / "a/first").write_bytes(b"two names")
    os.link(root / "a/first", root / "second")
    (root / "old").write_bytes(b"renamed")
    os.rename(root / "old", root / "a/b/new")
    (root / "from").mkdir()
    (root / "from/inside").write_bytes(b"moved with its directory")
    os.rename(root / "from", root / "a/to")
    with opened(root, os.O_TMPFILE | os.O_RDWR) as fd:
        os.write(fd, b"made without a name")
        link_open(fd, root / "named")
    os.symlink("small", root / "link")
    os.mkfifo(root / "pipe")
    files.update({"a/first": b"two names", "second": b"two names", "a/b/new": b"renamed",
                  "a/to/inside": b"moved with its directory", "named": b"made without a name"})
    return files


@contextlib.contextmanager
def by_handle(root, handle, flags=os.O_RDONLY):
    fd = open_handle(root, handle, flags)
    try:
        yield fd
    finally:
        os.close(fd)


class FileHandles(OnStores):
    def setUp(self):
        self.store = self.mounted("")
        if "file_handles" not in self.store.status()["kernel"].split("off:")[0]:
            self.skipTest("this kernel has no FUSE_EXPORT_SUPPORT")
        self.root = pathlib.Path(self.store.path)

    def gone(self, handle, why=errno.ESTALE):
        with self.assertRaises(OSError) as refused, by_handle(self.root, handle):
            pass
        self.assertEqual(refused.exception.errno, why)

    def all_are_found(self, files, handles):
        for name, handle in handles.items():
            with self.subTest(name), by_handle(self.root, handle, os.O_PATH) as fd:
                self.assertEqual(os.fstat(fd), os.lstat(self.root / name))
        for name, content in files.items():
            with self.subTest(name), by_handle(self.root, handles[name]) as fd:
                self.assertEqual(os.read(fd, len(content) + 1), content)
        for name in ("a", "a/b", "a/b/c", "a/to"):
            with self.subTest(name), by_handle(self.root, handles[name]) as fd:
                self.assertEqual(sorted(os.listdir(fd)), sorted(os.listdir(self.root / name)))
                # The kernel has asked for the way to the root.
                self.assertEqual(os.readlink(f"/proc/self/fd/{fd}"), str(self.root / name))

    def handles(self, files):
        directories = ("a", "a/b", "a/b/c", "a/to")
        return {name: handle_of(self.root / name, follow=False)
                for name in (*files, *directories, "link", "pipe")}

    def test_once_the_kernel_has_forgotten(self):
        files = make_tree(self.root)
        handles = self.handles(files)
        drop_caches()
        self.all_are_found(files, handles)
        with by_handle(self.root, handles["a/b/new"], os.O_RDWR | os.O_APPEND) as fd:
            os.write(fd, b" and written")
        self.assertEqual((self.root / "a/b/new").read_bytes(), b"renamed and written")
        self.ended_well(self.store)

    def test_over_a_remount(self):
        files = make_tree(self.root)
        handles = self.handles(files)
        self.store.umount()
        self.store.mount()
        for name in reversed(list(handles)):  # what is inside, before what it is in
            with by_handle(self.root, handles[name], os.O_PATH):
                pass
        self.all_are_found(files, handles)
        os.rename(self.root / "a/b", self.root / "b")
        os.unlink(self.root / "second")
        self.store.umount()
        self.store.mount()
        with by_handle(self.root, handles["a/b/c"]) as fd:
            self.assertEqual(os.readlink(f"/proc/self/fd/{fd}"), str(self.root / "b/c"))
        with by_handle(self.root, handles["second"]) as fd:
            self.assertEqual(os.read(fd, 99), b"two names")
        self.ended_well(self.store)

    def test_when_the_worker_dies(self):
        if not self.store.goes_on():
            self.skipTest("this kernel can't send requests again")
        files = make_tree(self.root)
        handles = self.handles(files)
        self.store.kill_worker()
        drop_caches()
        self.all_are_found(files, handles)
        self.ended_well(self.store)

    def test_of_what_is_deleted(self):
        files = make_tree(self.root)
        handles = self.handles(files)
        with opened(self.root / "small", os.O_RDONLY):
            os.unlink(self.root / "small")
            drop_caches()
            with by_handle(self.root, handles["small"]) as again:  # it is open
                self.assertEqual(os.read(again, 99), SMALL)
        for name in ("a/large", "link", "pipe", "a/b/c/deep"):
            os.unlink(self.root / name)
        os.rmdir(self.root / "a/b/c")
        os.replace(self.root / "named", self.root / "a/b/new")
        deleted = ("small", "a/large", "link", "pipe", "a/b/c/deep", "a/b/c", "a/b/new")
        drop_caches()
        self.each_is_gone(handles, deleted)
        self.store.umount()
        self.store.mount()
        self.each_is_gone(handles, deleted)
        made = self.new_files("x")
        self.each_is_gone(handles, deleted)
        for name in made:
            os.unlink(name)
        self.store.kill()
        self.store.mount()
        self.new_files("y")
        self.each_is_gone(handles, deleted)
        self.ended_well(self.store)

    def each_is_gone(self, handles, names):
        for name in names:
            with self.subTest(name):
                self.gone(handles[name])

    def new_files(self, prefix):
        names = [self.root / f"{prefix}{i}" for i in range(100)]
        for name in names:
            name.write_bytes(b"another")
        return names

    def test_of_the_control_files(self):
        """Their folders are in no list, so nothing leads from them to the root."""
        inside = self.root / ".spillfs"
        (self.root / "a").mkdir()
        handles = {name: handle_of(inside / name) for name in ("status", "users", "objects/a")}
        drop_caches()
        for name in ("status", "users"):
            with self.subTest(name), by_handle(self.root, handles[name]) as fd:
                self.assertTrue(os.path.samestat(os.fstat(fd), os.stat(inside / name)))
                self.assertEqual(os.read(fd, 1), b"{")
        self.gone(handles["objects/a"])
        self.ended_well(self.store)

    def test_made_up(self):
        """Whatever number a handle has, nothing is found that is not there."""
        kind, known = handle_of(self.root / ".spillfs/status")
        for number in (2, 1 << 39, (1 << 62) - 1, (1 << 62) + 999, (1 << 62) | (1 << 21), 3 << 62,
                       (1 << 64) - 1, (1 << 63) | 1):
            words = (number >> 32).to_bytes(4, "little") + (number & 0xffffffff).to_bytes(4, "little")
            with self.subTest(number):
                self.gone((kind, words + known[8:]))
        self.assertTrue(stat.S_ISDIR(os.stat(self.root).st_mode))
        self.ended_well(self.store)


class Without(OnStores):
    def test_the_feature(self):
        store = self.mounted("without=file_handles")
        path = pathlib.Path(store.path) / "file"
        path.write_bytes(b"1")
        handle = handle_of(path)
        drop_caches()
        with self.assertRaises(OSError) as refused:
            open_handle(store.path, handle)
        self.assertEqual(refused.exception.errno, errno.ESTALE)
        os.stat(path)
        os.close(open_handle(store.path, handle))  # the kernel knows it again
        self.ended_well(store)


if __name__ == "__main__":
    unittest.main(verbosity=2)
