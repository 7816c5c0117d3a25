# SPDX-License-Identifier: Apache-2.0
"""A store that is mounted read-only: all of it can be read, nothing in it changes, and who writes is
told EROFS; on a disk that is read-only itself, after kill -9 of everything, and damaged."""
import contextlib
import ctypes
import errno
import hashlib
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import disks, mounted as m
from support.cases import OnStores, opened

m.need_fuse()
m.limit_time(90)
OK, PROBLEMS, USAGE, MOUNTPOINT, STORE, IN_USE, SYSTEM = range(7)
MS_REMOUNT = 32
RENAME_EXCHANGE = 2
FALLOC_FL_PUNCH_HOLE = 3  # with FALLOC_FL_KEEP_SIZE
LIBC = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def everything_in(folder):
    """Of each file and directory: what is in it, and when that, its mode or a name of it changed."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path)] = (digest, status.st_size, status.st_mode, status.st_uid, status.st_nlink,
                            status.st_mtime_ns, status.st_ctime_ns)
    return found


def make_writable(path):
    """What 'mount -o remount,rw' does where mount.fuse.spillfs is not asked."""
    checked(LIBC.mount(None, os.fsencode(path), None, ctypes.c_ulong(MS_REMOUNT), None))


class ReadOnly(OnStores):
    def setUp(self):
        self.store = self.mounted("fuse_limit=64KiB")
        self.path = self.store.path
        self.files = {"small": b"s" * 30_000, "large": os.urandom(3_000_000),
                      "directory/small": b"d" * 5000, "directory/large": b"D" * 200_000,
                      "empty": b""}
        (self.path / "directory/below").mkdir(parents=True)
        for name, data in self.files.items():
            (self.path / name).write_bytes(data)
        os.symlink("small", self.path / "link")
        os.link(self.path / "small", self.path / "other")
        os.setxattr(self.path / "small", "user.mine", b"value")
        os.chmod(self.path / "large", 0o640)

    def mount_read_only(self, *options):
        self.before = everything_in(self.store.store)
        self.store.mount("-o", ",".join(("ro", *options)))

    def expect(self):
        names = {str(path.relative_to(self.path)) for path in self.path.rglob("*")}
        self.assertEqual(names, {*self.files, "directory", "directory/below", "link", "other"})
        for name, data in self.files.items():
            self.assertEqual((self.path / name).read_bytes(), data, name)
        self.assertEqual(os.readlink(self.path / "link"), "small")
        self.assertEqual(os.getxattr(self.path / "small", "user.mine"), b"value")
        self.assertEqual(os.stat(self.path / "small").st_nlink, 2)
        self.assertEqual(os.stat(self.path / "large").st_mode & 0o777, 0o640)

    def unchanged(self):
        self.assertEqual(everything_in(self.store.store), self.before)

    def ended_unchanged(self):
        self.store.umount()
        self.unchanged()
        self.store.check_log()

    def refused(self, call, *arguments, **more):
        with self.assertRaises(OSError) as caught:
            call(*arguments, **more)
        self.assertEqual(caught.exception.errno, errno.EROFS, call)

    def all_writes_are_refused(self):
        small, large = self.path / "small", self.path / "large"
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND,
                      os.O_WRONLY | os.O_DIRECT):
            self.refused(os.open, large, flags)
        self.refused(os.open, self.path / "new", os.O_WRONLY | os.O_CREAT, 0o600)
        self.refused(os.open, self.path, os.O_TMPFILE | os.O_RDWR, 0o600)
        self.refused(os.mkdir, self.path / "new")
        self.refused(os.mkfifo, self.path / "new")
        self.refused(os.symlink, "small", self.path / "new")
        self.refused(os.link, small, self.path / "new")
        self.refused(os.unlink, small)
        self.refused(os.rmdir, self.path / "directory/below")
        self.refused(os.rename, small, self.path / "new")
        self.refused(lambda: checked(LIBC.renameat2(-100, bytes(small), -100, bytes(large),
                                                    RENAME_EXCHANGE)))
        self.refused(os.truncate, large, 0)
        self.refused(os.chmod, small, 0o600)
        self.refused(os.chown, small, 1, 1)
        self.refused(os.utime, small)
        self.refused(os.setxattr, small, "user.mine", b"other")
        self.refused(os.removexattr, small, "user.mine")
        for control in ("reap", "sync"):
            self.refused(os.open, self.path / ".spillfs" / control, os.O_RDWR)
        with opened(large, os.O_RDONLY) as fd:
            self.assertEqual(LIBC.fallocate(fd, 0, 0, 4096), -1)
            self.assertEqual(LIBC.fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096), -1)
            self.refused(os.fchmod, fd, 0o600)
            os.fsync(fd)

    def test_after_a_clean_end(self):
        self.store.umount()
        self.mount_read_only()
        self.expect()
        self.ended_unchanged()
        for _ in range(3):  # and it is as it was for the next who writes, at once
            self.assertEqual(m.spillfs("mount", self.store.store, self.path, "-o", "ro").returncode, OK)
            subprocess.run(["umount", self.path], check=True)
        self.store.mount()
        self.expect()
        (self.path / "new").write_bytes(b"new")
        self.ended_well(self.store)

    def test_after_the_death_of_all_processes(self):
        unsealed = os.open(self.path / "unsealed", os.O_WRONLY | os.O_CREAT)
        os.write(unsealed, b"bytes")
        self.store.kill()
        with contextlib.suppress(OSError):  # its mount has ended
            os.close(unsealed)
        subprocess.run(["umount", "-l", self.path], check=True)
        self.assertTrue(any((self.store.store / "index").glob("*.log")))
        for _ in range(2):
            self.mount_read_only()
            self.expect()
            self.store.kill()  # nor does this leave anything
            subprocess.run(["umount", "-l", self.path], check=True)
            self.unchanged()
        self.store.mount()
        self.expect()
        self.ended_well(self.store)

    def test_nothing_changes(self):
        self.store.umount()
        self.mount_read_only("durability=interval=0.1", "reap=1s", "scrub_every=1m")
        self.expect()
        self.all_writes_are_refused()
        self.assertTrue(os.statvfs(self.path).f_flag & os.ST_RDONLY)
        self.assertFalse(os.access(self.path / "small", os.W_OK))
        status = self.store.status()
        self.assertTrue(status["read_only"])
        self.assertIn("read_only = true", (self.path / ".spillfs/config").read_text())
        self.assertIn("mounted read-only", m.spillfs("status", self.path).stdout)
        self.assertEqual(m.spillfs("sync", self.path).returncode, OK)
        self.assertEqual(m.spillfs("scrub", self.path).returncode, OK)
        done = m.spillfs("reap", self.path)
        self.assertEqual(done.returncode, SYSTEM)
        self.assertIn("read-only", done.stderr)
        self.ended_unchanged()

    def test_goes_on_when_its_processes_are_replaced(self):
        self.store.kill()
        subprocess.run(["umount", "-l", self.path], check=True)
        self.mount_read_only()
        if not self.store.goes_on():
            self.skipTest("this kernel can't send requests again")
        with opened(self.path / "large", os.O_RDONLY) as large, \
                opened(self.path / "small", os.O_RDONLY) as small:
            for replace in (self.store.kill_worker,
                            lambda: m.spillfs("upgrade", self.path).check_returncode()):
                replace()
                self.assertEqual(os.pread(large, 4_000_000, 0), self.files["large"])
                self.assertEqual(os.pread(small, 4_000_000, 0), self.files["small"])
                self.expect()
                self.all_writes_are_refused()
        self.ended_unchanged()

    def test_the_daemon_refuses_what_the_kernel_lets_pass(self):
        self.store.umount()
        self.mount_read_only()
        make_writable(self.path)
        self.assertFalse(os.statvfs(self.path).f_flag & os.ST_RDONLY)
        self.all_writes_are_refused()
        self.expect()
        self.ended_unchanged()

    def test_a_background_mount_writes_no_log(self):
        self.store.umount()
        before = everything_in(self.store.store)
        done = m.spillfs("mount", self.store.store, self.path, "-o", "read_only=yes")
        self.assertEqual(done.returncode, OK, done.stderr)
        self.addCleanup(m.spillfs, "umount", self.path)
        self.expect()
        self.assertEqual(m.spillfs("umount", self.path).returncode, OK)
        self.assertEqual(everything_in(self.store.store), before)

    def test_who_reads_and_who_writes_exclude_each_other(self):
        def mount(where, *options):
            return m.spillfs("mount", self.store.store, where, *options)
        second = self.store.root / "second"
        second.mkdir()
        done = mount(second, "-o", "ro")
        self.assertEqual((done.returncode, "in use" in done.stderr), (IN_USE, True), done.stderr)
        self.store.umount()
        self.mount_read_only()
        done = mount(second)
        self.assertEqual((done.returncode, "in use" in done.stderr), (IN_USE, True), done.stderr)
        self.addCleanup(m.spillfs, "umount", second)
        self.assertEqual(mount(second, "-o", "ro").returncode, OK)
        self.assertEqual((second / "large").read_bytes(), self.files["large"])
        self.assertEqual(m.spillfs("umount", second).returncode, OK)
        self.ended_unchanged()

    def test_what_is_no_store_is_not_made_one(self):
        done = m.spillfs("mount", self.store.root / "none", self.store.root, "-o", "ro")
        self.assertNotEqual(done.returncode, OK)
        empty = self.store.root / "empty"
        other = self.store.root / "other"
        empty.mkdir()
        other.mkdir()
        done = m.spillfs("mount", empty, other, "-o", "ro")
        self.assertEqual(done.returncode, STORE)
        self.assertIn("not a spillfs store", done.stderr)
        self.assertEqual(list(empty.iterdir()), [])
        self.assertFalse((self.store.root / "none").exists())

    def test_what_is_damaged_is_refused_and_the_rest_is_read(self):
        self.store.umount()
        segment = next(path for path in (self.store.store / "segments").iterdir()
                       if path.stat().st_size >= len(self.files["large"]))
        os.truncate(segment, 1_000_000)
        self.mount_read_only()
        with self.assertRaises(OSError) as caught:
            (self.path / "large").read_bytes()
        self.assertEqual(caught.exception.errno, errno.EIO)
        del self.files["large"]
        for name, data in self.files.items():
            self.assertEqual((self.path / name).read_bytes(), data, name)
        self.store.umount()
        self.unchanged()

    def test_after_a_loss_of_power(self):
        """A file that is not whole is not shown, and stays where it is."""
        self.store.kill()
        subprocess.run(["umount", "-l", self.path], check=True)
        segment = next(path for path in (self.store.store / "segments").iterdir()
                       if path.stat().st_size >= len(self.files["large"]))
        with open(segment, "r+b") as file:
            file.write(bytes(1000))
        self.mount_read_only("boot=new")
        with self.assertRaises(OSError) as caught:
            (self.path / "large").read_bytes()
        self.assertIn(caught.exception.errno, (errno.ENOENT, errno.ESTALE))
        self.assertFalse((self.path / "large").exists())
        self.assertEqual((self.path / "small").read_bytes(), self.files["small"])
        self.store.umount()
        self.unchanged()
        self.mount_read_only("boot=same")
        self.assertTrue((self.path / "large").exists())
        self.store.umount()
        self.unchanged()


class Disks(OnStores):
    def test_on_a_disk_that_is_read_only(self):
        with disks.ext4(600) as disk:
            root = disk / "root"
            root.mkdir()
            store = m.Mounted("index_reserve=16MiB", root)
            self.addCleanup(store.close)
            mountpoint = store.path
            store.mount()
            (mountpoint / "file").write_bytes(b"bytes" * 100_000)
            store.kill()
            subprocess.run(["umount", "-l", mountpoint], check=True)
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
            done = m.spillfs("mount", store.store, mountpoint)
            self.assertEqual(done.returncode, SYSTEM)
            self.assertIn("mount it with -o ro", done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            done = m.spillfs("mount", store.store, mountpoint, "-o", "ro")
            self.assertEqual(done.returncode, OK, done.stderr)
            self.addCleanup(m.spillfs, "umount", mountpoint)
            self.assertEqual((mountpoint / "file").read_bytes(), b"bytes" * 100_000)
            self.assertEqual(m.spillfs("umount", mountpoint).returncode, OK)
            subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
            m.wait_until(lambda: m.spillfs("check", store.store).returncode == OK, 20,
                         "a store in order")
            shutil.rmtree(root)


if __name__ == "__main__":
    unittest.main()
