# SPDX-License-Identifier: Apache-2.0
"""What the command line says: each error is one line that begins with "spillfs:" and says what to do;
words of mount(8) are understood; and what umount says of a mount that is in use."""
import os
import pwd
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import machine, mounted as m

USAGE, MOUNTPOINT, SYSTEM = 2, 3, 6
VERBS = ("mount", "umount", "config", "upgrade", "status", "scrub", "reap", "check", "dump", "top",
         "doctor", "bench", "sync", "spill", "restore", "delete", "destroy")

m.need_fuse()
machine.own_mounts()
m.limit_time(50)


class CommandLine(unittest.TestCase):
    def setUp(self):
        self.store = m.Mounted()
        self.path = self.store.path
        self.addCleanup(self.store.close)

    def refused(self, code, *arguments, program=None):
        """The sentence."""
        done = subprocess.run([*(program or [m.PROGRAM]), *map(str, arguments)], check=False,
                              capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (code, ""), (arguments, done.stderr))
        self.assertRegex(done.stderr, r"\Aspillfs: [^\n]+\n\Z", arguments)
        return done.stderr

    def test_unknown_words(self):
        self.assertIn("'spillfs --help'", self.refused(USAGE))
        self.assertIn("no verb 'mouhnt'; did you mean 'mount'?", self.refused(USAGE, "mouhnt"))
        self.assertIn("no verb 'ls';", self.refused(USAGE, "ls"))
        self.assertIn("no flag --nope;", self.refused(USAGE, "--nope"))
        for verb in VERBS:
            text = self.refused(USAGE, verb, "--no-such-flag")
            self.assertIn(f"'spillfs {verb} --help'", text)
        self.refused(USAGE, "umount")
        self.refused(USAGE, "umount", "--lazy", "--if-dead", self.path)
        for helper, code in (("mount.spillfs", 1), ("umount.fuse.spillfs", 1),
                             ("fsck.spillfs", 16)):
            link = self.store.root / helper
            link.symlink_to(os.path.abspath(m.PROGRAM))
            text = self.refused(code, "-Z", self.path, program=[link])
            self.assertIn(f"'{helper} --help'", text)

    def test_suggestions_are_near(self):
        mount = ("mount", self.store.store, self.path, "-o")
        self.assertIn("did you mean 'quota'?", self.refused(USAGE, *mount, "quotta=1GiB"))
        for option in ("rw2", "xyz=1", "inode64", "lgo9"):
            self.assertNotIn("did you mean", self.refused(USAGE, *mount, option))
        file = self.store.root / "mount.toml"
        file.write_text('ro = true\n', encoding="utf-8")
        self.assertNotIn("did you mean", self.refused(USAGE, "mount", "--config", file, self.path))
        self.assertFalse(self.store.store.exists())

    def test_names_of_what_is_wrong(self):
        plain = self.store.root / "plain"
        plain.write_bytes(b"no segment")
        self.assertIn(f"{plain} is no segment", self.refused(1, "dump", plain))
        for verb in ("status", "config", "upgrade", "top", "scrub", "sync", "reap", "umount"):
            self.assertIn(f"is mounted on {plain}", self.refused(MOUNTPOINT, verb, plain))
        self.assertIn(f"{plain} is not a directory", self.refused(4, "check", plain))
        self.assertIn(f"{plain} is not a directory",
                      self.refused(MOUNTPOINT, "mount", self.store.store, plain))

    def test_a_size_that_is_hardly_meant(self):
        done = m.spillfs("mount", "-o", "quota=100", self.store.store, self.path)
        self.addCleanup(m.spillfs, "umount", self.path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr,
                         "spillfs: -o: quota=100 is 100 bytes; did you mean 100GiB?\n")

    def test_words_of_mount(self):
        mount = ("mount", self.store.store, self.path, "-o")
        for option, text in (("size=1G", "write quota=SIZE"), ("uid=1", "chown"),
                             ("nonempty", "empty directory"), ("sync", "durability=fsync"),
                             ("strictatime", "access time"), ("remount", "spillfs upgrade")):
            self.assertIn(text, self.refused(USAGE, *mount, option))
        self.assertFalse(self.store.store.exists())
        generic = ("defaults,rw,user,nofail,_netdev,x-systemd.automount,comment=mine,"
                   "noatime,nodiratime,noexec")
        self.store.mount("-o", generic, "-o", "quota=1GiB")
        flags = next(line.split()[5] for where, line in m.mounts() if where == str(self.path))
        self.assertTrue({"noexec", "noatime"} <= set(flags.split(",")), flags)
        self.assertIn('quota = "1GiB"', (self.path / ".spillfs/config").read_text())
        self.store.umount()

    def test_as_libfuse_calls_it(self):
        def call(options):
            return [self.store.store, self.path, "-o", options + ",dev,suid"]
        subprocess.run([m.PROGRAM, *call("rw,noexec,quota=1GiB")], check=True, timeout=60)
        self.assertIn('quota = "1GiB"', (self.path / ".spillfs/config").read_text())
        self.assertIn("spillfs upgrade", self.refused(1, *call("remount,noexec,threads=3")))
        subprocess.run([m.PROGRAM, *call("remount,ro,noexec")], check=True, timeout=60)
        self.assertTrue(os.statvfs(self.path).f_flag & os.ST_RDONLY)
        subprocess.run([m.PROGRAM, "umount", self.path], check=True, timeout=60)

    def test_busy(self):
        self.store.mount()
        user = subprocess.Popen(["sleep", "100"], cwd=self.path)
        self.addCleanup(user.wait)
        self.addCleanup(user.kill)
        text = self.refused(SYSTEM, "umount", self.path)
        self.assertIn(f"{self.path} is busy: {user.pid} (sleep) uses it", text)
        self.assertIn(f"'spillfs umount --lazy {self.path}'", text)
        self.assertTrue(m.is_mounted(self.path))
        (self.path / "file").write_bytes(b"it serves")
        done = m.spillfs("umount", "--lazy", self.path)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertFalse(m.is_mounted(self.path))
        self.assertFalse(self.store.ended())
        user.kill()
        self.assertEqual(self.store.process.wait(60), 0, self.store.log())
        self.assertIn("no spillfs is mounted", self.refused(MOUNTPOINT, "umount", self.path))

    def test_another_mount_in_it(self):
        self.store.mount()
        (self.path / "inner").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.path / "inner"], check=True)
        self.assertIn(f"on {self.path}/inner", self.refused(SYSTEM, "umount", self.path))
        subprocess.run(["umount", self.path / "inner"], check=True)
        self.store.umount()

    def test_busy_for_an_ordinary_user(self):
        machine.put_fuse_for_everyone(self, self.store.root / "devices")
        nobody = pwd.getpwnam("nobody").pw_uid
        program = self.store.root / "spillfs"
        shutil.copy(os.path.abspath(m.PROGRAM), program)
        home = self.store.root / "home"
        home.mkdir()
        self.store.root.chmod(0o755)
        for path in (home, self.path):
            os.chown(path, nobody, nobody)
        by = ["setpriv", f"--reuid={nobody}", "--clear-groups", program]
        subprocess.run([*by, "mount", home / "store", self.path], check=True)
        user = subprocess.Popen(["sleep", "100"], cwd="/",
                                preexec_fn=lambda: (os.setuid(nobody), os.chdir(self.path)))
        self.addCleanup(user.wait)
        self.addCleanup(user.kill)
        self.assertIn(f"{user.pid} (sleep)", self.refused(SYSTEM, "umount", self.path, program=by))
        user.kill()
        user.wait()
        subprocess.run([*by, "umount", self.path], check=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
