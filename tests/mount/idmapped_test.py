# SPDX-License-Identifier: Apache-2.0
"""A mount that is mounted once more with its ids mapped, as for a pod with a user namespace of its
own: whose files are, and whom everything that users have a share of counts for."""
import errno
import json
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m
from support.acls import ACCESS, acl
from support.cases import OnStores, opened
from support.containers import mount_mapped, unmount, user_namespace
from support.machine import own_mounts
from support.system_calls import link_open
from support.users import as_user

m.need_fuse()
own_mounts()
m.limit_time(60)
MIB = 1 << 20
HOST, COUNT = 100000, 65536  # the container's root is this user here
ALICE = 1000                 # in the container


class Idmapped(OnStores):
    options = ""

    def setUp(self):
        self.store = self.mounted(self.options)
        if "idmapped_mounts" not in self.store.status()["kernel"].split("off:")[0]:
            self.skipTest("this kernel has no FUSE_ALLOW_IDMAP")
        self.root = pathlib.Path(self.store.path)
        self.mapped = self.store.root / "mapped"
        self.mapped.mkdir()
        with user_namespace(0, HOST, COUNT) as namespace:
            mount_mapped(self.root, self.mapped, namespace)
        self.addCleanup(subprocess.run, ["umount", "-l", self.mapped], check=False,
                        capture_output=True)

    def as_alice(self, call):
        """In the container, whose user 1000 this is."""
        return as_user(HOST + ALICE, call)

    def finish(self):
        unmount(self.mapped)
        self.ended_well(self.store)

    def owner(self, name, root=None):
        found = os.lstat((root or self.root) / name)
        return found.st_uid, found.st_gid


class Owners(Idmapped):
    def test_of_what_is_made(self):
        def make():
            (self.mapped / "file").write_bytes(b"1")
            os.mkdir(self.mapped / "folder")
            os.symlink("file", self.mapped / "link")
            os.mkfifo(self.mapped / "pipe")
            with opened(self.mapped, os.O_TMPFILE | os.O_WRONLY) as fd:
                link_open(fd, self.mapped / "unnamed")
            os.link(self.mapped / "file", self.mapped / "second")
            os.rename(self.mapped / "pipe", self.mapped / "moved")
        self.as_alice(make)
        for name in ("file", "folder", "link", "moved", "unnamed", "second"):
            with self.subTest(name):
                self.assertEqual(self.owner(name), (ALICE, ALICE))
                self.assertEqual(self.owner(name, self.mapped), (HOST + ALICE, HOST + ALICE))
        self.finish()

    def test_of_what_is_there(self):
        (self.root / "roots").write_bytes(b"1")
        os.chmod(self.root / "roots", 0o600)
        (self.root / "alices").write_bytes(b"1")
        os.chown(self.root / "alices", ALICE, ALICE)
        os.chmod(self.root / "alices", 0o600)
        self.assertEqual(self.as_alice((self.mapped / "alices").read_bytes), b"1")
        for path in (self.mapped / "roots", self.root / "alices"):
            with self.assertRaises(PermissionError):
                self.as_alice(path.read_bytes)
        # The container's root.
        self.assertEqual(as_user(HOST, (self.mapped / "roots").read_bytes), b"1")
        self.finish()

    def test_are_changed_as_the_mount_maps_them(self):
        path = self.mapped / "file"
        (self.root / "file").write_bytes(b"1")
        os.chown(path, HOST + 5, HOST + 6)
        self.assertEqual(self.owner("file"), (5, 6))
        with self.assertRaises(OSError) as refused:
            os.chown(path, 5, 5)  # has no number in the container
        self.assertEqual(refused.exception.errno, errno.EOVERFLOW)
        self.finish()

    def test_who_has_no_number_there_makes_nothing(self):
        for uid in (4001, HOST + COUNT):
            with self.assertRaises(OSError) as refused:
                as_user(uid, lambda: (self.mapped / "file").write_bytes(b"1"))
            self.assertEqual(refused.exception.errno, errno.EOVERFLOW)
        self.finish()

    def test_stay_when_the_worker_dies(self):
        if not self.store.goes_on():
            self.skipTest("this kernel can't send requests again")
        self.as_alice(lambda: (self.mapped / "before").write_bytes(b"1"))
        self.store.kill_worker()
        self.as_alice(lambda: (self.mapped / "after").write_bytes(b"1"))
        for name in ("before", "after"):
            self.assertEqual(self.owner(name), (ALICE, ALICE))
        self.finish()

    def test_of_acls(self):
        if "acl" not in self.store.status()["kernel"].split("off:")[0]:
            self.skipTest("this kernel has no FUSE_POSIX_ACL")
        def for_user(uid):
            return acl(f"u::rw-,u:{uid}:r--,g::---,m::r--,o::---")
        path = self.mapped / "file"
        self.as_alice(lambda: path.write_bytes(b"1"))
        # User 7 of the container may read.
        self.as_alice(lambda: os.setxattr(path, ACCESS, for_user(HOST + 7)))
        self.assertEqual(os.getxattr(self.root / "file", ACCESS), for_user(7))
        self.assertEqual(as_user(HOST + 7, path.read_bytes), b"1")
        with self.assertRaises(PermissionError):
            as_user(HOST + 8, path.read_bytes)
        self.finish()


class Shares(Idmapped):
    options = f"user_quota={8 * MIB},user_handles=20"

    def test_quota_is_the_owners(self):
        def fill():
            written = 0
            try:
                with opened(self.mapped / "file", os.O_WRONLY | os.O_CREAT) as fd:
                    for at in range(0, 16 * MIB, MIB):
                        written += os.pwrite(fd, bytes(MIB), at)
            except OSError as error:
                return error.errno, written
            return 0, written
        code, written = self.as_alice(fill)
        self.assertEqual(code, errno.EDQUOT)
        self.assertEqual(written, 7 * MIB)
        users = json.loads((self.root / ".spillfs/users").read_text())
        self.assertEqual(set(users) - {"0"}, {str(ALICE)})
        # Another of the container goes on.
        as_user(HOST + 7, lambda: (self.mapped / "other").write_bytes(bytes(MIB)))
        self.finish()

    def test_open_files_are_of_who_opens_them(self):
        """Whether they are made or opened, and through whichever mount."""
        (self.root / "there").write_bytes(b"1")

        def open_many(made):
            fds = []
            try:
                for i in range(40):
                    if made:
                        fds.append(os.open(self.mapped / f"f{i}", os.O_CREAT | os.O_WRONLY, 0o600))
                    else:
                        fds.append(os.open(self.root / "there", os.O_RDONLY))
            except OSError as error:
                return len(fds), error.errno
            return len(fds), 0
        for made in (True, False):
            self.assertEqual(self.as_alice(lambda made=made: open_many(made)), (20, errno.EMFILE))
        self.assertEqual(self.as_alice(lambda: self.both(10, 11)), (10, 10, errno.EMFILE))
        fds = [os.open(self.mapped / "there", os.O_RDONLY) for _ in range(40)]  # root's
        for fd in fds:
            os.close(fd)
        self.finish()

    def both(self, first, second):
        fds = [os.open(self.mapped / f"g{i}", os.O_CREAT | os.O_WRONLY) for i in range(first)]
        for i in range(second):
            try:
                fds.append(os.open(self.root / "there", os.O_RDONLY))
            except OSError as error:
                return first, i, error.errno
        return first, second, 0

    def test_who_cannot_be_asked_is_nobodys_root(self):
        """The container's root is stored as 0; that gives it no right that root has here."""
        def open_many():
            fds = []
            try:
                for i in range(40):
                    fds.append(os.open(self.mapped / f"f{i}", os.O_CREAT | os.O_WRONLY, 0o600))
            except OSError as error:
                return len(fds), error.errno
            return len(fds), 0
        self.assertEqual(as_user(HOST, open_many), (20, errno.EMFILE))
        self.finish()

    def test_further_names_are_the_owners_to_make(self):
        def make():
            (self.mapped / "file").write_bytes(b"1")
            os.link(self.mapped / "file", self.mapped / "second")
        self.as_alice(make)
        os.chmod(self.root / "file", 0o666)
        with self.assertRaises(PermissionError):
            as_user(HOST + 7, lambda: os.link(self.mapped / "file", self.mapped / "third"))
        with self.assertRaises(PermissionError):
            as_user(4001, lambda: os.link(self.root / "file", self.root / "fourth"))
        self.finish()

    def test_free_space_is_that_of_who_asks(self):
        self.as_alice(lambda: (self.mapped / "file").write_bytes(bytes(MIB)))
        roots = os.statvfs(self.mapped)
        theirs = as_user(HOST + ALICE, lambda: os.statvfs(self.root))
        self.assertGreater(roots.f_blocks * roots.f_frsize, 8 * MIB)
        self.assertEqual(theirs.f_blocks * theirs.f_frsize, 8 * MIB)
        self.finish()

    def test_what_only_root_is_shown(self):
        path = self.root / "file"
        path.write_bytes(b"1")
        os.setxattr(path, "trusted.secret", b"1")
        os.setxattr(path, "user.open", b"1")
        os.chmod(path, 0o644)
        for root in (self.root, self.mapped):
            with self.subTest(root):
                self.assertEqual(set(os.listxattr(root / "file")), {"trusted.secret", "user.open"})
                for uid in (HOST, HOST + ALICE):
                    names = as_user(uid, lambda root=root: os.listxattr(root / "file"))
                    self.assertEqual(names, ["user.open"])
                    with self.assertRaises(OSError) as refused:
                        as_user(uid, lambda root=root: os.getxattr(root / "file", "user.spill.url"))
                    self.assertEqual(refused.exception.errno, errno.ENODATA)
                    with self.assertRaises(OSError) as refused:
                        as_user(uid, lambda root=root: os.getxattr(root / "file", "trusted.secret"))
                    self.assertEqual(refused.exception.errno, errno.ENODATA)
        self.assertIn("offset", os.getxattr(path, "user.spill.url").decode())
        self.finish()


class Without(OnStores):
    def test_the_feature(self):
        store = self.mounted("without=idmapped_mounts")
        mapped = store.root / "mapped"
        mapped.mkdir()
        with user_namespace(0, HOST, COUNT) as namespace, self.assertRaises(OSError) as refused:
            mount_mapped(store.path, mapped, namespace)
        self.assertEqual(refused.exception.errno, errno.EINVAL)
        as_user(HOST, lambda: (store.path / "file").write_bytes(b"1"))
        self.assertEqual(os.stat(store.path / "file").st_uid, HOST)
        self.ended_well(store)


if __name__ == "__main__":
    unittest.main(verbosity=2)
