# SPDX-License-Identifier: Apache-2.0
"""POSIX ACLs on a mount, set by setfacl(1) and by what copies files, beside the same on a bare
directory: who may do what, what is inherited, how modes follow."""
import errno
import os
import pathlib
import shutil
import stat
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import acls
from support import mounted as m
from support.acls import acl_of, getfacl, setfacl
from support.system_calls import link_open
from support.users import as_user

m.need_fuse()
m.limit_time(120)
if shutil.which("setfacl") is None:
    m.skip("setfacl is not installed; run 'sudo scripts/setup'")
ALICE, BOB, CAROL = 4001, 4002, 4003
SHARED = f"u::rw-,u:{BOB}:rw-,g::---,m::rw-,o::---"


def outcome(call):
    """What it returns, or the name of its errno."""
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno]


def mode(path):
    return oct(os.lstat(path).st_mode)


class Acls(unittest.TestCase):
    options = ""

    def setUp(self):
        self.store = self.enterContext(m.mounted(self.options))
        self.bare = self.store.root / "bare"
        self.bare.mkdir()
        os.chmod(self.bare, 0o1777)
        self.folders = (self.bare, self.store.path)
        if not acls.has_acls(self.bare):
            m.skip("the file system of the temporary directory has no ACLs")

    def same(self, call):
        """`call(folder)` comes to the same on a bare directory and on the mount; returns it."""
        wanted, found = (call(folder) for folder in self.folders)
        self.assertEqual(found, wanted)
        return found

    def make(self, folder, name="file", bits=0o640, owner=ALICE):
        path = folder / name
        path.write_bytes(b"bytes")
        os.chown(path, owner, owner)
        os.chmod(path, bits)
        return path

    def set(self, *arguments):
        done = setfacl(*arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""), arguments)

    def test_who_may(self):
        def try_all(folder):
            path = self.make(folder)
            self.set("-m", f"u:{BOB}:r--,g:{CAROL}:rw-,u:{CAROL + 1}:---", path)
            found = []
            for uid, groups in ((ALICE, ()), (BOB, ()), (CAROL, ()), (CAROL + 1, (CAROL,)),
                                (CAROL + 2, ()), (CAROL + 2, (CAROL,)), (CAROL + 2, (ALICE,))):
                for flags in (os.O_RDONLY, os.O_WRONLY):
                    def attempt(flags=flags):
                        os.close(os.open(path, flags))
                        return "may"
                    found.append(outcome(lambda: as_user(uid, attempt, groups)))
            return found
        found = self.same(try_all)
        self.assertEqual(found[:4], ["may", "may", "may", "EACCES"], "the owner, and bob who reads")

    def test_it_is_what_setfacl_says(self):
        def run(folder):
            path = self.make(folder, bits=0o644)
            steps = []
            for change in (("-m", f"u:{BOB}:rwx"), ("-m", "m::r--"), ("-m", "g::rw-"),
                           ("-x", f"u:{BOB}"), ("-b",), ("-m", f"g:{BOB}:rw-,o::r--"), ("-k",),
                           ("--set", "u::rwx,g::r-x,o::---"), ("-m", f"u:{BOB}:r--"), ("-b",)):
                self.set(*change, path)
                steps.append((change, getfacl(path), mode(path), sorted(os.listxattr(path))))
            return steps
        steps = self.same(run)
        self.assertIn(f"user:{BOB}:rwx", steps[0][1])

    def test_chmod_and_the_mask_are_in_step(self):
        def run(folder):
            steps = []
            path = self.make(folder)
            self.set("-m", f"u:{BOB}:rwx", path)
            for bits in (0o600, 0o777, 0o4750, 0o2070, 0o000, 0o644):
                os.chmod(path, bits)
                steps.append((mode(path), getfacl(path)))
            inner = folder / "folder"
            inner.mkdir()
            self.set("-m", f"u:{BOB}:rwx,d:u:{BOB}:rwx", inner)
            os.chmod(inner, 0o2700)
            steps.append((mode(inner), getfacl(inner)))
            return steps
        self.same(run)

    def test_what_is_made_inherits(self):
        def run(folder):
            top = folder / "top"
            top.mkdir()
            os.chmod(top, 0o777)
            self.set("-d", "-m", f"u:{BOB}:rwx,g:{CAROL}:r-x,o::r--", top)

            def make():
                os.umask(0o077)
                os.close(os.open(top / "file", os.O_CREAT | os.O_WRONLY, 0o666))
                os.close(os.open(top / "private", os.O_CREAT | os.O_WRONLY, 0o600))
                os.mkdir(top / "inner", 0o777)
                os.mkdir(top / "inner/most", 0o750)
                os.mknod(top / "node", 0o644 | stat.S_IFREG)
                os.mkfifo(top / "pipe", 0o666)
                os.symlink("nowhere", top / "link")
                fd = os.open(top, os.O_TMPFILE | os.O_WRONLY, 0o666)
                link_open(fd, top / "unnamed")
                os.close(fd)
            as_user(ALICE, make)
            names = ("file", "private", "inner", "inner/most", "node", "pipe", "unnamed")
            return [(name, mode(top / name), getfacl(top / name)) for name in names] + [
                mode(top / "link"), os.listxattr(top / "link", follow_symlinks=False)]
        self.same(run)

    def test_without_a_default_the_umask_counts(self):
        def run(folder):
            def make():
                found = []
                for mask in (0o000, 0o027, 0o777):
                    os.umask(mask)
                    os.close(os.open(folder / f"file {mask}", os.O_CREAT | os.O_WRONLY, 0o6666))
                    os.mkdir(folder / f"folder {mask}", 0o777)
                    os.mkfifo(folder / f"pipe {mask}", 0o666)
                    os.symlink("x", folder / f"link {mask}")
                    fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o666)
                    found.append(oct(os.fstat(fd).st_mode))
                    os.close(fd)
                    found += [mode(folder / f"{kind} {mask}")
                              for kind in ("file", "folder", "pipe", "link")]
                return found
            return as_user(ALICE, make)
        self.same(run)

    def test_bad_ones_are_refused(self):
        def run(folder):
            path = self.make(folder, bits=0o644)
            os.mkdir(folder / "folder")
            good = acls.acl(SHARED)
            bad = (b"x", good[:-1], good[:-8], struct.pack("<I", 3) + good[4:], good + good[4:],
                   acls.acl(f"u::rw-,u:{BOB}:rw-,g::---,o::---"), acls.acl("u::rw-,o::---,g::---"),
                   acls.acl("u::rw-,g::---,m::rw-,m::rw-,o::---"))
            found = [outcome(lambda value=value: os.setxattr(path, acls.ACCESS, value))
                     for value in bad]
            found.append(outcome(lambda: os.setxattr(path, acls.DEFAULT, good)))
            found.append(outcome(
                lambda: as_user(BOB, lambda: os.setxattr(path, acls.ACCESS, good))))
            found.append(outcome(lambda: os.getxattr(path, acls.ACCESS)))
            os.setxattr(path, acls.ACCESS, good)
            os.setxattr(path, acls.ACCESS, b"")
            found.append(outcome(lambda: os.getxattr(path, acls.ACCESS)))
            os.setxattr(path, acls.ACCESS, good)
            os.setxattr(path, acls.ACCESS, struct.pack("<I", 2))
            found.append(outcome(lambda: os.getxattr(path, acls.ACCESS)))
            os.removexattr(path, acls.ACCESS)
            found.append((mode(path), sorted(os.listxattr(path))))
            return found
        found = self.same(run)
        self.assertEqual(found[1], "EINVAL")

    def test_set_gid_goes_where_the_owner_is_not_in_the_group(self):
        def run(folder):
            found = []
            for who, groups in ((ALICE, ()), (ALICE, (BOB,)), (0, ())):
                for kind in ("file", "folder"):
                    path = folder / f"{kind} {who} {groups}"
                    if kind == "folder":
                        path.mkdir()
                    else:
                        path.touch()
                    os.chown(path, who, BOB)
                    os.chmod(path, 0o2770)

                    def set_acls(path=path, kind=kind):
                        os.setxattr(path, acls.ACCESS, acls.acl(SHARED))
                        if kind == "folder":
                            os.setxattr(path, acls.DEFAULT, acls.acl(SHARED))
                    as_user(who, set_acls, groups) if who else set_acls()
                    found.append((kind, who, groups, mode(path)))
            return found
        self.same(run)

    def test_cp_p_keeps_it(self):
        """Both ways, and over a chmod of what was copied."""
        for here, there in (self.folders, self.folders[::-1]):
            path = self.make(here, "from")
            os.setxattr(path, acls.ACCESS, acls.acl(SHARED))
            done = subprocess.run(["cp", "-p", path, there / "to"], capture_output=True,
                                  check=False)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertEqual(getfacl(there / "to"), getfacl(path))

    def test_they_outlive_worker_and_mount(self):
        path = self.make(self.store.path)
        folder = self.store.path / "folder"
        folder.mkdir()
        os.setxattr(path, acls.ACCESS, acls.acl(SHARED))
        os.setxattr(folder, acls.DEFAULT, acls.acl(SHARED))

        def holds(name):
            self.assertEqual(acl_of(path), acls.acl(SHARED), name)
            self.assertEqual(as_user(BOB, path.read_bytes), b"bytes", name)
            with self.assertRaises(PermissionError):
                as_user(CAROL, path.read_bytes)
            (folder / name).touch()
            self.assertIsNotNone(acl_of(folder / name), name)
            os.setxattr(folder / name, acls.ACCESS, acls.acl(SHARED))
            self.assertEqual(acl_of(folder / name), acls.acl(SHARED), name)
            os.setxattr(folder / name, "user.plain", b"value")
            self.assertEqual(os.getxattr(folder / name, "user.plain"), b"value")
        holds("at first")
        if self.store.goes_on():
            self.store.kill_worker()
            holds("another worker")
        self.store.umount()
        self.store.mount()
        holds("another mount")

    def test_they_count_for_the_quota_as_xattrs_do(self):
        path = self.make(self.store.path)
        before = self.store.status()["charged_bytes"]
        os.setxattr(path, acls.ACCESS, acls.acl(SHARED))
        self.assertEqual(self.store.status()["charged_bytes"] - before, 1024)
        os.removexattr(path, acls.ACCESS)
        self.assertEqual(self.store.status()["charged_bytes"], before)


class WithoutAcls(unittest.TestCase):
    """As on a kernel that has none: a clear error, and what there is stays."""

    def test_it_is_refused(self):
        store = m.Mounted()
        self.addCleanup(store.close)
        store.mount()
        path = store.path / "file"
        path.write_bytes(b"bytes")
        os.setxattr(path, acls.ACCESS, acls.acl(SHARED))
        store.umount()
        store.mount("-o", "without=acl")
        self.assertIn(" acl", store.status()["kernel"].split("off:")[1])
        done = setfacl("-m", f"u:{BOB}:r--", path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("Operation not supported", done.stderr)
        for call in (os.getxattr, os.removexattr):
            self.assertEqual(outcome(lambda call=call: call(path, acls.ACCESS)), "ENOTSUP")
        self.assertEqual(os.listxattr(path), [])
        os.setxattr(path, "user.plain", b"value")
        self.assertEqual(os.getxattr(path, "user.plain"), b"value")
        os.umask(0o027)
        pathlib.Path(store.path / "made").touch(0o666)
        self.assertEqual(mode(store.path / "made"), "0o100640")
        os.umask(0o022)
        os.chmod(path, 0o640)
        store.umount()
        store.mount()
        self.assertEqual(acl_of(path), acls.acl(SHARED.replace("m::rw-", "m::r--")))
        store.umount()
        store.check()
        store.check_log()


if __name__ == "__main__":
    unittest.main()
