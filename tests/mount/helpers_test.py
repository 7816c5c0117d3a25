# SPDX-License-Identifier: Apache-2.0
"""mount(8), umount(8) and fsck(8) with their helpers, in a mount namespace of its own, where the
helpers' names are in /sbin."""
import errno
import os
import pathlib
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import machine, mounted as m
from support.users import as_user

HELPERS = ("mount.spillfs", "mount.fuse.spillfs", "umount.fuse.spillfs", "fsck.spillfs")

m.need_fuse()
machine.own_mounts()
m.limit_time(140)


def run(*command, **options):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False,
                          timeout=60, **options)


def put_helpers_into_sbin(folder):
    """A folder of links to all that is in /sbin, and the helpers, over /sbin."""
    real, linked = folder / "real", folder / "sbin"
    for made in (real, linked):
        made.mkdir()
    folder.chmod(0o755)
    subprocess.run(["mount", "--bind", "/usr/sbin", real], check=True)
    for name in os.listdir(real):
        os.symlink(real / name, linked / name)
    shutil.copy(m.PROGRAM, folder / "spillfs")  # the build may lie where users can't look
    for name in HELPERS:
        os.symlink(folder / "spillfs", linked / name)
    subprocess.run(["mount", "--bind", linked, "/usr/sbin"], check=True)


class Helpers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-"))
        put_helpers_into_sbin(folder)

        def undo():
            for mounted in ("/usr/sbin", folder / "real"):
                subprocess.run(["umount", mounted], check=True)
            shutil.rmtree(folder)
        cls.addClassCleanup(undo)

    def setUp(self):
        self.store = m.Mounted()
        self.path = self.store.path
        self.addCleanup(self.store.close)

    def mount(self, *arguments, code=0):
        done = run("mount", *arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def umount(self, *how):
        """And the store is nobody's when it comes back: the daemon has sealed everything. Of a mount
        that it has noted nothing about umount(8) looks for the type only with -c, as systemd says.
        """
        done = run("umount", *(how or ("-c",)), self.path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(m.is_mounted(self.path))
        done = run("fsck", "-t", "spillfs", self.store.store)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def flags(self):
        return next(line.split()[5].split(",") for mountpoint, line in m.mounts()
                    if mountpoint == str(self.path))

    def config(self):
        return (self.path / ".spillfs/config").read_text()

    def test_mount_and_umount(self):
        self.mount("-t", "spillfs", "-o", "noexec,noatime,x-mine=1,quota=1GiB,threads=2",
                   self.store.store, self.path)
        self.assertIn('quota = "1GiB"', self.config())
        self.assertTrue({"noexec", "noatime", "nosuid", "nodev"} <= set(self.flags()))
        (self.path / "file").write_bytes(b"x" * 1_000_000)
        done = self.mount("-t", "spillfs", self.store.store, self.path, code=32)
        self.assertIn("already mounted", done.stderr)
        self.umount()

    def test_fstab(self):
        fstab = self.store.root / "fstab"
        toml = self.store.root / "mount.toml"
        toml.write_text('store = "store"\nquota = "1GiB"\n')
        generic = "defaults,noauto,nofail,_netdev,x-systemd.automount,comment=mine"
        for source, options in ((self.store.store, "threads=3"), (toml, "threads=3"),
                                ("none", f"config={toml},threads=3")):
            fstab.write_text(f"{source} {self.path} spillfs {generic},{options} 0 0\n")
            self.mount("-T", fstab, self.path)
            self.assertRegex(self.config(), r"threads = 3 +# -o\n")
            if source != self.store.store:
                self.assertRegex(self.config(), rf'quota = "1GiB" +# {toml}:2\n')
            self.umount("-v")

    def test_fstab_with_user(self):
        """mount(8) runs the helper as who calls it, so it mounts by fusermount3."""
        for program in ("mount", "umount"):
            if not os.stat(shutil.which(program) or "/").st_mode & stat.S_ISUID:
                self.skipTest(f"no {program}, or it is not set-uid")
        nobody, daemon = (pwd.getpwnam(name).pw_uid for name in ("nobody", "daemon"))
        home = self.store.root / "home"
        home.mkdir()
        for owned in (home, self.path):
            os.chown(owned, nobody, nobody)
        fstab = self.store.root / "fstab"
        fstab.write_text(f"{home}/store {self.path} spillfs user,noauto,quota=1GiB 0 0\n")
        machine.put(self, "/etc/fstab", "--bind", fstab)
        machine.put_fuse_for_everyone(self, self.store.root / "devices")

        def by(user, *command, code=0):
            done = as_user(user, lambda: run(*command, self.path))
            self.assertEqual(done.returncode, code, done.stderr)
            return done.stderr

        by(nobody, "mount")
        self.assertTrue({"noexec", "nosuid", "nodev"} <= set(self.flags()))
        self.assertIn('quota = "1GiB"', as_user(nobody, self.config))
        with self.assertRaises(PermissionError):
            self.config()  # not even root, without allow_other
        by(daemon, "umount", code=32)
        by(nobody, "umount")
        self.assertFalse(m.is_mounted(self.path))
        check = ("/sbin/fsck.spillfs", home / "store")
        self.assertEqual(as_user(nobody, lambda: run(*check)).returncode, 0)
        done = run(*check)  # root would read and write what a user has put there
        self.assertEqual(done.returncode, 8)
        self.assertIn(f"belongs to user {nobody}", done.stderr)
        self.assertEqual(run(*check, "--foreign-store").returncode, 0)
        self.assertIn(f"belongs to user {nobody}", by(daemon, "mount", code=32))

    def test_what_would_be_a_lie_is_refused(self):
        for option, text in (("sync", "durability=fsync"), ("strictatime", "access time"), ("quotta=1", "did you mean 'quota'"),
                             ("threads=99", "from 1 to 64")):
            done = self.mount("-t", "spillfs", "-o", option, self.store.store, self.path, code=1)
            self.assertIn(text, done.stderr)
        self.assertFalse(self.store.store.exists())

    def test_the_callers_flags(self):
        helper = "/sbin/mount.spillfs"
        for option in ("suid", "dev"):  # mount(8) does not tell them on
            done = run(helper, self.store.store, self.path, "-o", option)
            self.assertEqual(done.returncode, 1)
            self.assertIn("always nosuid", done.stderr)
        done = run(helper, self.store.store, self.path, "-f", "-v", "-o", "rw,threads=2")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertFalse(m.is_mounted(self.path))
        self.assertEqual(run(helper, self.store.store, self.path, "-o", "speed=9").returncode, 1)
        self.assertEqual(run(helper, self.store.store, "-z", self.path).returncode, 1)
        self.assertEqual(run(helper, self.store.store, self.path / "none").returncode, 32)
        done = run(helper, self.store.store, self.path, "-snv", "-o", "speed=9")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, f"{self.store.store} is mounted on {self.path}\n")
        self.umount()

    def written(self, name):
        (self.path / name).write_bytes(b"bytes")

    def remounted(self, *how, code=0):
        done = run("mount", *how, self.path)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr

    def test_remounts(self):
        """mount(8) asks the helper, whether it knows the type from fstab, from -t or from the kernel."""
        self.mount("-t", "spillfs", "-o", "noexec,threads=2", self.store.store, self.path)
        self.written("before")
        fstab = self.store.root / "fstab"
        fstab.write_text(f"{self.store.store} {self.path} spillfs noexec,threads=2,x-mine 0 0\n")
        for how in ((), ("-t", "spillfs"), ("-T", fstab)):
            self.remounted(*how, "-o", "remount,ro")
            self.assertTrue({"ro", "nosuid", "nodev", "noexec"} <= set(self.flags()))
            with self.assertRaises(OSError) as caught:
                self.written("meanwhile")
            self.assertEqual(caught.exception.errno, errno.EROFS)
            self.assertEqual((self.path / "before").read_bytes(), b"bytes")
            self.remounted(*how, "-o", "remount,rw")
            self.assertTrue({"rw", "nosuid", "nodev", "noexec"} <= set(self.flags()))
            self.written("before")
        self.umount()

    def test_a_remount_waits_for_no_writer(self):
        self.mount("-t", "spillfs", self.store.store, self.path)
        with open(self.path / "file", "wb"):
            self.assertIn("are open for writing", self.remounted("-o", "remount,ro", code=32))
        self.written("file")
        self.umount()

    def test_a_remount_changes_no_option_of_the_daemon(self):
        self.mount("-t", "spillfs", "-o", "threads=2", self.store.store, self.path)
        told = self.remounted("-o", "remount,ro,threads=3", code=1)
        self.assertIn("'threads' can't change by a remount", told)
        self.assertIn("did you mean 'quota'", self.remounted("-o", "remount,quotta=1", code=1))
        self.written("file")
        self.umount()

    def test_read_only(self):
        self.mount("-t", "spillfs", self.store.store, self.path)
        self.written("file")
        self.umount()
        self.mount("-t", "spillfs", "-o", "ro", self.store.store, self.path)
        self.assertIn("ro", self.flags())
        self.remounted("-o", "remount,ro")
        told = self.remounted("-o", "remount,rw", code=32)
        self.assertIn("was mounted with -o ro", told)
        self.assertEqual((self.path / "file").read_bytes(), b"bytes")
        self.umount()

    def test_a_dead_mount_is_cleared(self):
        self.store.mount("-o", "without=resend")
        self.store.kill()
        self.mount("-t", "spillfs", self.store.store, self.path)
        (self.path / "file").write_bytes(b"bytes")
        self.umount()

    def test_lazy_umount_does_not_wait(self):
        self.mount("-t", "spillfs", self.store.store, self.path)
        with open(self.path / "file", "wb") as file:
            file.write(b"bytes")
            file.flush()
            self.assertEqual(run("umount", "-l", self.path).returncode, 0)
            self.assertFalse(m.is_mounted(self.path))
            self.assertEqual(run("/sbin/fsck.spillfs", self.store.store).returncode, 8)  # in use
        m.wait_until(lambda: run("/sbin/fsck.spillfs", self.store.store).returncode == 0, 30,
                     "the daemon's end")

    def test_fsck(self):
        fsck = "/sbin/fsck.spillfs"
        self.mount("-t", "spillfs", self.store.store, self.path)
        (self.path / "file").write_bytes(b"bytes" * 1000)
        self.umount()
        self.assertEqual(run(fsck, "-n", "-f", "-v", self.store.store).returncode, 0)
        self.assertEqual(run(fsck, "-z", self.store.store).returncode, 16)
        self.assertEqual(run(fsck, "-n", "-y", self.store.store).returncode, 16)
        self.assertEqual(run(fsck, self.path).returncode, 8)  # no store
        shutil.rmtree(self.store.store / "index")
        self.assertEqual(run(fsck, "-n", self.store.store).returncode, 4)
        done = run(fsck, "-a", self.store.store)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertEqual(run(fsck, self.store.store).returncode, 0)
        self.mount("-t", "spillfs", self.store.store, self.path)
        self.assertEqual((self.path / "file").read_bytes(), b"bytes" * 1000)
        self.umount()
        segment = next((self.store.store / "segments").glob("*.fused"))
        with open(segment, "r+b") as file:
            file.seek(4096 + 500)
            file.write(b"damage")
        self.assertEqual(run(fsck, "-p", self.store.store).returncode, 4)


if __name__ == "__main__":
    unittest.main(verbosity=2)
