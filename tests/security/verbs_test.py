# SPDX-License-Identifier: Apache-2.0
"""Root's verbs on what other users own: a directory that looks like a mount, a mount that lies or does
not answer, a mountpoint whose parent has been renamed."""
import json
import os
import pathlib
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m
from support.cases import OnStores
from support.fake_mount import HANGS, FakeMount
from support.users import as_user

m.need_fuse()
m.limit_time(170)
MALLORY = pwd.getpwnam("nobody").pw_uid  # fusermount3 wants one that has a name
NO_MOUNT = 3
VERBS = ("upgrade", "umount", "scrub", "status", "reap", "config", "top --once", "doctor")


def forged_files(victim, **more):
    """What a mount's .spillfs has, as far as verbs read it."""
    status = {"supervisor_pid": victim, "worker_pid": victim, "upgrades": 0, "failed_upgrades": 0,
              "version": "9.9", "store": "/forged", "data_directories": ["/forged"], **more}
    return {"status": json.dumps(status).encode(), "config": b'store = "/forged"\n',
            "metrics": b"spillfs_size_bytes 1\n", "clients": b"[]", "directories": b"{}",
            "scrub": b'{"damaged":0,"done":true,"files":7,"scrubbed_bytes":7}\n'}


class OnVictims(OnStores):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-verbs-"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        os.chmod(self.root, 0o755)
        self.home = self.root / "mallory"
        self.home.mkdir()
        os.chown(self.home, MALLORY, MALLORY)
        self.victim = self.process()

    def process(self, user=0):
        """A process that any signal ends."""
        started = subprocess.Popen(["sleep", "1000"], user=user)
        self.addCleanup(started.wait)
        self.addCleanup(started.kill)
        return started

    def forge(self, folder):
        def write():
            (folder / ".spillfs").mkdir(parents=True)
            for name, text in forged_files(0).items():
                (folder / ".spillfs" / name).write_bytes(text)
        as_user(MALLORY, write)
        return folder


class ADirectoryIsNoMount(OnVictims):
    def refused(self, folder):
        for verb in VERBS:
            with self.subTest(verb=verb):
                victim = self.process()
                (folder / ".spillfs/status").write_bytes(forged_files(victim.pid)["status"])
                done = m.spillfs(*verb.split(), folder)
                self.assertIsNone(victim.poll(), f"{verb} signalled a process of a user's choice")
                self.assertNotIn("/forged", done.stdout)
                self.assertNotIn("9.9", done.stdout)
                if verb != "doctor":
                    self.assertEqual(done.returncode, NO_MOUNT, done.stdout + done.stderr)
                    self.assertRegex(done.stderr, "no (live )?spillfs is mounted")

    def test_that_looks_like_one(self):
        self.refused(self.forge(self.home / "looks-like-a-mount"))

    def test_inside_a_real_mount(self):
        store = self.mounted("")
        os.chmod(store.path, 0o777)
        self.refused(self.forge(store.path / "sub"))
        self.assertTrue(m.is_mounted(store.path))
        self.ended_well(store)

    def test_behind_a_symlink(self):
        """To a mount's root it leads to that mount, which its user has not made."""
        store = self.mounted("")
        link = self.home / "link"
        as_user(MALLORY, lambda: link.symlink_to(store.path))
        self.assertIn(str(store.path), m.spillfs("status", link).stdout)
        self.ended_well(store)


class ALyingMount(OnVictims):
    def setUp(self):
        super().setUp()
        fusermount = shutil.which("fusermount3")
        if not fusermount or not os.stat(fusermount).st_mode & stat.S_ISUID:
            self.skipTest("no fusermount3 that is set-uid")
        devices = self.root / "devices"
        devices.mkdir()
        self.put(devices, "-t", "tmpfs", "tmpfs")
        os.mknod(devices / "fuse", stat.S_IFCHR, os.stat("/dev/fuse").st_rdev)
        (devices / "fuse").chmod(0o666)  # as distributions have it
        self.put("/dev/fuse", "--bind", devices / "fuse")
        configuration = self.root / "fuse.conf"
        configuration.write_text("user_allow_other\n")
        self.put("/etc/fuse.conf", "--bind", configuration)

    def put(self, place, *what):
        """Over what is there, until the test ends."""
        if not os.path.exists(place):
            self.skipTest(f"no {place}")
        subprocess.run(["mount", *what, place], check=True)
        self.addCleanup(subprocess.run, ["umount", "--lazy", place], check=True)

    def lying(self, files, name="mount"):
        path = self.home / name
        as_user(MALLORY, path.mkdir)
        mount = FakeMount(path, MALLORY, files)
        self.addCleanup(mount.close)
        if not mount.mounted:
            self.skipTest("an ordinary user can't mount here")
        return path

    def test_names_a_process_of_root(self):
        path = self.lying(forged_files(self.victim.pid))
        self.assertEqual((path / ".spillfs/config").read_bytes(), b'store = "/forged"\n')
        self.assertNotEqual(m.spillfs("upgrade", path).returncode, 0)
        self.assertIsNone(self.victim.poll(), "upgrade signalled a process of a user's choice")
        for verb in ("scrub", "reap", "doctor", "umount"):
            done = m.spillfs(*verb.split(), path)
            self.assertIsNone(self.victim.poll(), f"{verb} signalled a process of a user's choice")
            if verb != "umount":
                self.assertIn(f"is user {MALLORY}'s mount", done.stdout + done.stderr)
                self.assertNotIn("/forged", done.stdout)
        self.assertFalse(m.is_mounted(path))

    def test_names_a_process_that_is_no_daemon(self):
        """Its own user's, so no harm comes of a signal; but it is not a spillfs."""
        own = self.process(MALLORY)
        path = self.lying(forged_files(own.pid))
        done = m.spillfs("upgrade", path)
        self.assertEqual(done.returncode, 6, done.stderr)
        self.assertIsNone(own.poll())

    def test_says_what_no_daemon_says(self):
        real = self.mounted("")
        path = self.lying(forged_files("x", requests={"read": "y"}, directories=[3]))
        for verb in ("upgrade", "status", "umount"):
            done = m.spillfs(verb, path)
            self.assertNotIn("exception", done.stderr)
            if verb == "status":
                everyone = m.spillfs("status")
                self.assertIn(str(real.path), everyone.stdout)
                self.assertEqual(everyone.returncode, 0, everyone.stderr)
        self.ended_well(real)

    def test_does_not_answer(self):
        """The others are shown all the same."""
        real = self.mounted("")
        self.lying({"status": HANGS})
        done = m.spillfs("status")
        self.assertIn(str(real.path), done.stdout)
        self.ended_well(real)


class ARenamedParent(OnVictims):
    """Its user puts another mount where the daemon's was."""

    def mounted_in(self, parent, options=""):
        as_user(MALLORY, parent.mkdir)
        (self.root / "own").mkdir()
        store = self.mounted(options, directory=self.root / "own")
        store.umount()
        as_user(MALLORY, (parent / "mnt").mkdir)
        store.path = parent / "mnt"
        return store.mount()

    def swap(self, store):
        """Where its mount is then."""
        parent = store.path.parent
        moved = parent.with_name("moved")
        as_user(MALLORY, lambda: parent.rename(moved))
        as_user(MALLORY, lambda: store.path.mkdir(parents=True))
        subprocess.run(["mount", "-t", "tmpfs", "other", store.path], check=True)
        self.addCleanup(subprocess.run, ["umount", "--lazy", store.path], check=False)
        self.addCleanup(subprocess.run, ["umount", "--lazy", moved / "mnt"], check=False,
                        capture_output=True)
        (store.path / "others").write_bytes(b"of somebody else")
        self.assertTrue(m.is_mounted(moved / "mnt"))
        return moved / "mnt"

    def left_alone(self, store):
        self.assertTrue(m.is_mounted(store.path), "the daemon unmounted another's mount")
        self.assertEqual((store.path / "others").read_bytes(), b"of somebody else")

    def test_at_the_daemons_end(self):
        store = self.mounted_in(self.home / "parent")
        moved = self.swap(store)
        (moved / "file").write_bytes(b"sealed at the end")
        store.process.send_signal(signal.SIGTERM)
        self.assertEqual(store.process.wait(60), 0, store.log())
        self.left_alone(store)
        self.assertFalse(m.is_mounted(moved))
        store.check()

    def test_when_the_worker_has_died(self):
        store = self.mounted_in(self.home / "parent", "without=resend")
        moved = self.swap(store)
        os.kill(store.worker(), signal.SIGKILL)
        self.assertEqual(store.process.wait(60), 7, store.log())
        self.left_alone(store)
        self.assertFalse(m.is_mounted(moved), "the dead mount stays")

    def test_after_an_upgrade(self):
        store = self.mounted_in(self.home / "parent")
        if not json.loads((store.path / ".spillfs/status").read_text())["when_the_worker_dies"] == \
                "another goes on":
            self.skipTest("this kernel can't send requests again")
        moved = self.swap(store)
        done = m.spillfs("upgrade", moved)
        self.assertEqual(done.returncode, 0, done.stderr + store.log())
        store.process.send_signal(signal.SIGTERM)
        self.assertEqual(store.process.wait(60), 0, store.log())
        self.left_alone(store)
        self.assertFalse(m.is_mounted(moved))


if __name__ == "__main__":
    unittest.main(verbosity=2)
