# SPDX-License-Identifier: Apache-2.0
"""Trees that go to a mount and back by the tools that people use, with all that they have: modes,
owners, times, links, holes, xattrs, ACLs. Each tool ends with 0, and the copy is equal."""
import hashlib
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
from support.users import as_user

m.need_fuse()
m.limit_time(120)
ALICE, BOB = 4001, 4002
CAPABILITY = struct.pack("<5I", 0x02000001, 1, 0, 0, 0)  # of a program that may CAP_CHOWN
OWN = ("user.spill.url", "user.spillfs.creator", "user.spillfs.half_written", "user.spillfs.opens")


def make_tree(root, with_acls):
    """What every user can make."""
    root.mkdir()
    (root / "small").write_bytes(b"a few bytes")
    (root / "large").write_bytes(os.urandom(6 << 20))
    (root / "empty").touch()
    with open(root / "sparse", "wb") as file:
        file.write(b"x")
        file.truncate(8 << 20)
    os.symlink("small", root / "to small")
    os.symlink("nowhere", root / "to nowhere")
    os.link(root / "large", root / "large too")
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir(mode=0o750)
    (root / "folder/program").write_bytes(b"#!/bin/sh\n" * 1000)
    os.chmod(root / "folder/program", 0o755)
    for name in ("small", "large", "folder"):
        os.setxattr(root / name, "user.colour", b"green\0\xff")
        os.setxattr(root / name, "user.spill.metadata", b"PYTHON")
    if with_acls:
        access = acls.acl(f"u::rw-,u:{BOB}:rw-,g::r--,m::rw-,o::---")
        os.setxattr(root / "small", acls.ACCESS, access)
        default = acls.acl(f"u::rwx,u:{BOB}:r-x,g::r-x,m::r-x,o::---")
        os.setxattr(root / "folder", acls.DEFAULT, default)
        (root / "folder/inherits").write_bytes(b"y")
    for number, name in enumerate(("large", "small", "folder/program", "folder", "")):
        os.utime(root / name, ns=(10 ** 18, 10 ** 18 + 123_456_789 * (number + 1)))


def make_roots(root):
    """What only root can have."""
    os.chown(root / "large", ALICE, BOB)
    os.chown(root / "folder/program", BOB, BOB)
    os.chmod(root / "folder/program", 0o6755)
    os.setxattr(root / "large", "trusted.secret", b"1")
    os.setxattr(root / "folder/program", "security.capability", CAPABILITY)


def facts(root):
    """All that a copy has to have, by path."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in [".", *folders, *files]:
            path = os.path.normpath(os.path.join(folder, name))
            if name == "." and folder != str(root):
                continue
            at = os.lstat(path)
            data = b""
            if stat.S_ISREG(at.st_mode):
                data = hashlib.sha256(pathlib.Path(path).read_bytes()).digest()
            if stat.S_ISLNK(at.st_mode):
                data = os.readlink(path)
            links = 1 if stat.S_ISDIR(at.st_mode) else at.st_nlink
            timed = stat.S_ISREG(at.st_mode) or stat.S_ISDIR(at.st_mode)  # rsync leaves the others'
            mtime = at.st_mtime_ns if timed else None
            names = os.listxattr(path, follow_symlinks=False)
            xattrs = {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
            found[os.path.relpath(path, root)] = (at.st_mode, at.st_uid, at.st_gid, links, mtime,
                                                  data, xattrs)
    return found


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0 and not done.stderr, f"{command}: {done.returncode} {done.stderr}"


def by_cp(source, target):
    run("cp", "-a", source, target)


def by_mv(source, target):
    """To there, and the tree that was moved is made again by cp."""
    kept = source.with_name(source.name + " kept")
    run("cp", "-a", source, kept)
    run("mv", source, target)
    assert not source.exists()
    run("mv", kept, source)


def by_rsync(source, target):
    run("rsync", "-aXAHS", f"{source}/", f"{target}/")


def by_tar(source, target):
    archive = source.with_name("archive.tar")
    options = ("--xattrs", "--xattrs-include=*", "--acls")
    target.mkdir()
    run("tar", *options, "-S", "-C", source, "-cf", archive, ".")
    run("tar", *options, "-C", target, "-xpf", archive)
    os.unlink(archive)


TOOLS = {"cp": by_cp, "mv": by_mv, "rsync": by_rsync, "tar": by_tar}


class Copies(unittest.TestCase):
    def setUp(self):
        self.store = self.enterContext(m.mounted())
        self.bare = self.store.root / "bare"
        self.bare.mkdir()
        os.chmod(self.bare, 0o1777)
        self.with_acls = acls.has_acls(self.bare)

    def equal(self, tree, wanted, *what):
        found = facts(tree)
        self.assertEqual(sorted(found), sorted(wanted), what)
        for path, fact in wanted.items():
            self.assertEqual(found[path], fact, (path, *what))

    def there_and_back(self, name, tool):
        """In a directory of this user on either side."""
        places = [self.bare / name, self.store.path / name]
        for here, there in (places, places[::-1]):
            here.mkdir()
            there.mkdir()
            make_tree(here / "tree", self.with_acls)
            if os.geteuid() == 0:
                make_roots(here / "tree")
            wanted = facts(here / "tree")
            tool(here / "tree", there / "copy")
            self.equal(there / "copy", wanted, name, here)
            tool(there / "copy", here / "back")
            self.equal(here / "back", wanted, name, here)
            for place in places:
                shutil.rmtree(place)

    def test_trees_are_equal_there_and_back(self):
        for name, tool in TOOLS.items():
            if shutil.which(name) is None:
                continue
            with self.subTest(tool=name, user="root"):
                self.there_and_back(name, tool)
            with self.subTest(tool=name, user="alice"):
                as_user(ALICE, lambda name=name, tool=tool: self.there_and_back(name, tool))

    def test_files_alone(self):
        """What has a url of its own while it is copied."""
        source = self.store.path / "file"
        source.write_bytes(b"z" * 5000)
        os.setxattr(source, "user.colour", b"red")
        self.assertTrue(os.getxattr(source, "user.spill.url"))
        for command in (("cp", "--preserve=xattr"), ("cp", "-a"), ("cp", "--preserve=all"),
                        ("mv",)):
            run(*command, source, self.bare / "copy")
            self.assertEqual(os.listxattr(self.bare / "copy"), ["user.colour"], command)
            run(*command, self.bare / "copy", source.with_name("back"))
            self.assertEqual(os.listxattr(source.with_name("back")), ["user.colour"], command)
        self.assertTrue(os.getxattr(source.with_name("back"), "user.spill.url"))

    def test_our_own_names(self):
        """They are in no list. A copy of an earlier version's has them, and comes back yet."""
        file = self.bare / "file"
        file.write_bytes(b"z" * 5000)
        for name in OWN:
            os.setxattr(file, name, b"elsewhere")
        run("cp", "-a", file, self.store.path / "file")
        copy = self.store.path / "file"
        self.assertEqual(os.listxattr(copy), [])
        self.assertNotEqual(os.getxattr(copy, "user.spill.url"), b"elsewhere")
        self.assertEqual(os.getxattr(copy, "user.spillfs.opens"), b"0")
        for name in OWN[:2]:
            os.removexattr(copy, name)
        self.assertTrue(os.getxattr(copy, "user.spill.url"))
        if shutil.which("rsync"):
            run("rsync", "-aX", f"{self.bare}/", f"{self.store.path}/")


if __name__ == "__main__":
    unittest.main()
