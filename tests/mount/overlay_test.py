# SPDX-License-Identifier: Apache-2.0
"""A mount as the upper and work directory of an overlay: the kernel misses nothing, and every change
has the outcome that it has over ext4."""
import errno
import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m
from support.cases import OnStores, opened
from support.containers import mount_overlay, unmount
from support.machine import own_mounts
from support.system_calls import (EXCHANGE, NOREPLACE, WHITEOUT, link_open, rename2)
from support.users import as_user

m.need_fuse()
own_mounts("mkfs.ext4")
m.limit_time(120)
MIB = 1 << 20
ALICE = 4001


def refused(call, *arguments):
    """The errno; 0 where it is not refused."""
    try:
        call(*arguments)
    except OSError as error:
        return error.errno
    return 0


def make_lower(root):
    for name in ("a", "b", "c", "moved", "deleted", "opaque", "alices"):
        (root / name).mkdir(parents=True)
        (root / name / "file").write_bytes(name.encode())
        (root / name / "inner").mkdir()
        (root / name / "inner/deep").write_bytes(b"deep in " + name.encode())
    (root / "large").write_bytes(os.urandom(64) * (5 * MIB // 64))
    (root / "second").hardlink_to(root / "a/file")
    (root / "link").symlink_to("a/file")
    os.setxattr(root / "b/file", "user.of_lower", b"value")
    os.setxattr(root / "b/file", "trusted.of_lower", b"value")
    os.chown(root / "alices", ALICE, ALICE)
    os.chown(root / "alices/file", ALICE, ALICE)


def change(root):
    """Everything that makes overlayfs do something of its own; what each was answered."""
    said = []

    def try_to(call, *arguments):
        said.append((call.__name__, refused(call, *arguments)))
    for path, content in ((root / "a/file", b"changed"), (root / "new", b"new"),
                          (root / "c/inner/deep", b"copied up")):
        try_to(path.write_bytes, content)
    with open(root / "large", "r+b") as file:
        file.seek(MIB)
        file.write(b"in the middle")
    try_to(os.chmod, root / "b/file", 0o600)
    try_to(os.chown, root / "b/inner", 7, 8)
    try_to(os.setxattr, root / "b/inner", "user.mine", b"1")
    try_to(os.rename, root / "b/file", root / "b/renamed")
    try_to(os.rename, root / "moved", root / "elsewhere")  # of the lower one: EXDEV, or redirected
    try_to(os.unlink, root / "c/file")
    try_to(os.rmdir, root / "deleted")
    for name in ("deleted", "opaque"):
        subprocess.run(["rm", "-r", root / name], check=True)
    (root / "opaque").mkdir()
    (root / "opaque/only").write_bytes(b"nothing else shows")
    try_to(os.mkdir, root / "opaque/inner")
    try_to(rename2, root / "new", root / "a/file", NOREPLACE)
    try_to(rename2, root / "new", root / "a/file", EXCHANGE)
    try_to(rename2, root / "new", root / "w", WHITEOUT)
    try_to(os.link, root / "large", root / "larger")
    try_to(os.unlink, root / "link")
    try_to(os.symlink, "nowhere", root / "link")
    try_to(os.mkfifo, root / "pipe")
    with opened(root, os.O_TMPFILE | os.O_WRONLY) as fd:
        os.write(fd, b"unnamed once")
        link_open(fd, root / "named")
    said.append(as_user(ALICE, lambda: alices(root)))
    return said


def alices(root):
    """An ordinary user's: overlayfs works as who has mounted it."""
    return [refused((root / "alices/file").write_bytes, b"by alice"),
            refused((root / "alices/new").write_bytes, b"new"),
            refused(os.unlink, root / "alices/inner/deep"),
            refused(os.rename, root / "alices/file", root / "alices/other"),
            refused((root / "a/file").write_bytes, b"not hers"),
            sorted(os.listdir(root / "opaque")), sorted(os.listdir(root / "alices"))]


def tree(root, xattrs=()):
    """What is there: every inode without its number and times."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = pathlib.Path(folder) / name
            seen = os.lstat(path)
            entry = [stat.S_IFMT(seen.st_mode), stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid,
                     seen.st_rdev]
            if stat.S_ISREG(seen.st_mode):
                entry += [seen.st_nlink, path.read_bytes()]
            if stat.S_ISLNK(seen.st_mode):
                entry.append(os.readlink(path))
            names = os.listxattr(path, follow_symlinks=False)
            entry.append({name: os.getxattr(path, name, follow_symlinks=False) for name in names
                          if not name.startswith("security.") and name not in xattrs})
            found[str(path.relative_to(root))] = entry
    return found


def kernel_messages():
    """Empty where it is not to be read."""
    return subprocess.run(["dmesg"], capture_output=True, text=True,
                          check=False).stdout.splitlines()


class Overlay(OnStores):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-overlay-"))
        os.chmod(self.folder, 0o755)
        self.addCleanup(subprocess.run, ["rm", "-rf", self.folder], check=False)
        self.said_before = kernel_messages()[-1:]
        self.lower = self.folder / "lower"
        make_lower(self.lower)
        self.ext4 = self.folder / "ext4"
        self.ext4.mkdir()
        image = self.folder / "image"
        with open(image, "wb") as file:
            file.truncate(64 * MIB)
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        done = subprocess.run(["mount", "-o", "loop", image, self.ext4], capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            m.skip(f"this machine has no loop devices: {done.stderr}")
        self.addCleanup(subprocess.run, ["umount", "-l", self.ext4], check=False)
        self.store = self.mounted("")
        self.mounts = []

    def overlay(self, on, more="", name="overlay"):
        """Its root, and its upper directory, in a directory of `on`."""
        base = pathlib.Path(on) / name
        for part in ("upper", "work", "merged"):
            (base / part).mkdir(parents=True, exist_ok=True)
        merged = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        os.chmod(merged, 0o755)
        try:
            mount_overlay(merged, self.lower, base / "upper", base / "work", more)
        except OSError as error:
            m.skip(f"this machine has no overlay: {error}")
        self.mounts.append(merged)
        return merged, base / "upper"

    def finish(self):
        for merged in self.mounts:
            unmount(merged)
        self.ended_well(self.store)

    def warnings(self):
        """What overlayfs has missed since the test began."""
        said = kernel_messages()
        if self.said_before and self.said_before[0] in said:
            said = said[said.index(self.said_before[0]) + 1:]
        return [line for line in said if "overlayfs: " in line and '"xino" feature' not in line]

    def compare(self, more=""):
        (ours, our_upper), (theirs, their_upper) = (self.overlay(on, more) for on in
                                                    (self.store.path, self.ext4))
        self.assertEqual(change(ours), change(theirs))
        self.assertEqual(tree(ours), tree(theirs))
        # Origins are file handles, which each file system makes as it likes.
        origins = ("trusted.overlay.origin", "trusted.overlay.upper", "trusted.overlay.uuid")
        self.assertEqual(tree(our_upper, origins), tree(their_upper, origins))
        return ours

    def test_changes_are_those_of_ext4(self):
        ours = self.compare()
        kinds = {stat.S_IFMT(os.lstat(path).st_mode): os.lstat(path).st_rdev
                 for path in (self.store.path / "overlay/upper").rglob("*")}
        self.assertEqual(kinds[stat.S_IFCHR], 0)  # whiteouts
        before = tree(ours)
        if self.store.goes_on():
            self.store.kill_worker()
        self.assertEqual(tree(ours), before)
        self.assertEqual(self.warnings(), [])
        self.finish()

    def test_with_everything_that_overlayfs_can(self):
        self.compare(",redirect_dir=on,index=on,metacopy=on,nfs_export=off,xino=on")
        self.assertEqual(self.warnings(), [])
        self.finish()

    def test_stay_over_a_remount(self):
        ours = self.compare(",redirect_dir=on,index=on")
        before = tree(ours)
        for merged in self.mounts:
            unmount(merged)
        self.mounts = []
        self.store.umount()
        self.store.mount()
        again, _ = self.overlay(self.store.path, ",redirect_dir=on,index=on")
        self.assertEqual(tree(again), before)
        self.assertEqual(self.warnings(), [])
        self.finish()

    def test_as_lower_and_upper(self):
        """Both are on the mount, as a container's image and its changes are."""
        subprocess.run(["cp", "-a", self.lower, self.store.path / "lower"], check=True)
        self.lower = self.store.path / "lower"
        ours, _ = self.overlay(self.store.path)
        plain = self.folder / "plain"
        subprocess.run(["cp", "-a", self.lower, plain], check=True)
        self.lower = plain
        theirs, _ = self.overlay(self.ext4)
        self.assertEqual(change(ours), change(theirs))
        self.assertEqual(tree(ours), tree(theirs))
        self.finish()


class Whiteouts(OnStores):
    def test_a_rename_leaves_one(self):
        store = self.mounted("")
        root = pathlib.Path(store.path)
        (root / "folder").mkdir()
        for name in ("plain", "replaces", "replaced", "folder/inside"):
            (root / name).write_bytes(name.encode())
        os.chmod(root, 0o2777)
        os.chown(root, 0, 9)
        rename2(root / "plain", root / "moved", WHITEOUT)
        rename2(root / "replaces", root / "replaced", WHITEOUT)
        rename2(root / "folder", root / "other", WHITEOUT | NOREPLACE)
        self.assertEqual(refused(rename2, root / "moved", root / "replaced", WHITEOUT | NOREPLACE),
                         errno.EEXIST)
        self.assertEqual(refused(rename2, root / "moved", root / "replaced", WHITEOUT | EXCHANGE),
                         errno.EINVAL)
        for name in ("plain", "replaces", "folder"):
            seen = os.lstat(root / name)
            self.assertEqual((seen.st_mode, seen.st_rdev, seen.st_nlink, seen.st_gid),
                             (stat.S_IFCHR, 0, 1, 9), name)
        self.assertEqual((root / "moved").read_bytes(), b"plain")
        self.assertEqual((root / "replaced").read_bytes(), b"replaces")
        self.assertEqual((root / "other/inside").read_bytes(), b"folder/inside")
        self.assertEqual(sorted(os.listdir(root)),
                         ["folder", "moved", "other", "plain", "replaced", "replaces"])
        self.assertEqual(os.stat(root).st_nlink, 3)
        for name in ("plain", "replaces", "folder"):
            os.unlink(root / name)
        store.umount()
        store.check()
        store.mount()
        self.assertEqual(store.status()["inodes"], 5)  # with the root
        self.ended_well(store)

    def test_is_whose_it_was(self):
        """With a quota it counts for who renames."""
        store = self.mounted("user_quota=8KiB")
        root = pathlib.Path(store.path)

        def rename():
            os.mkdir(root / "alices")
            (root / "alices/file").write_bytes(b"")
            names = 0
            try:
                for i in range(100):
                    rename2(root / "alices/file" if i == 0 else root / f"alices/{i - 1}",
                            root / f"alices/{i}", WHITEOUT)
                    names += 1
            except OSError as error:
                return names, error.errno
            return names, 0
        # A directory, a file, and for each rename another inode and name, of 512 bytes each.
        self.assertEqual(as_user(ALICE, rename), (6, errno.EDQUOT))
        self.assertEqual(os.lstat(root / "alices/0").st_uid, ALICE)
        self.ended_well(store)


if __name__ == "__main__":
    unittest.main(verbosity=2)
