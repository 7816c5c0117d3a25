# SPDX-License-Identifier: Apache-2.0
"""A mount right behind the end of another one of the same store: it waits for a daemon that ends, as
umount(8) does not, and is refused at once where the store is in use."""
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import machine, mounted as m

IN_USE = 5
DETACHED_PATIENCE = 10  # seconds that a mount waits for those who have files open in one that is out
MIB = 1 << 20

m.need_fuse()
machine.own_mounts()
m.limit_time(140)


def status_of(path):
    return json.loads((path / ".spillfs/status").read_text(encoding="utf-8"))


class Again(unittest.TestCase):
    def setUp(self):
        self.store = m.Mounted()
        self.addCleanup(self.store.close)
        self.path = self.store.path
        self.other = self.store.root / "other"
        self.other.mkdir()
        self.addCleanup(self.end_background)

    def command(self, path=None):
        return [m.PROGRAM, "mount", self.store.store, path or self.path]

    def mount(self, path=None, code=0):
        """In the background, as scripts do it."""
        done = subprocess.run(self.command(path), capture_output=True, text=True, check=False,
                              timeout=90)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr

    def supervisor(self, path=None):
        return status_of(path or self.path)["supervisor_pid"]

    def end_background(self):
        for path in (self.path, self.other):
            with contextlib.suppress(OSError):
                process = self.supervisor(path)
                m.spillfs("umount", path)
                m.wait_until(lambda pid=process: not m.alive(pid), 30, "the daemon's end")
            if m.is_mounted(path):
                subprocess.run(["umount", "-l", path], check=False)

    def test_right_after_umount(self):
        """Small files go together at the end, and what was open is sealed: that takes a while."""
        self.mount()
        for turn in range(6):
            for number in range(200):
                (self.path / f"{turn}.{number}").write_bytes(b"x" * 5000)
            (self.path / f"{turn}").write_bytes(bytes([turn]) * (8 * MIB))
            subprocess.run(["umount", self.path], check=True)
            self.mount()
            self.assertEqual((self.path / f"{turn}").read_bytes(), bytes([turn]) * (8 * MIB))
        self.assertEqual(len(os.listdir(self.path)), 6 * 201)

    def test_right_after_a_signal(self):
        self.mount()
        for end in (signal.SIGTERM, signal.SIGINT) * 3:
            (self.path / "file").write_bytes(end.name.encode() * MIB)
            os.kill(self.supervisor(), end)
            self.mount()
            self.assertEqual((self.path / "file").read_bytes(), end.name.encode() * MIB)

    def test_check_waits_as_well(self):
        self.mount()
        (self.path / "file").write_bytes(b"x" * (8 * MIB))
        subprocess.run(["umount", self.path], check=True)
        done = m.spillfs("check", self.store.store)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_a_detached_mount_is_waited_for(self):
        self.mount()
        with open(self.path / "file", "wb", buffering=0) as file:
            file.write(b"before")
            subprocess.run(["umount", "-l", self.path], check=True)
            waits = subprocess.Popen(self.command(), stderr=subprocess.PIPE)
            time.sleep(1)
            self.assertIsNone(waits.poll(), "it did not wait")
            file.write(b", after")
        told = waits.communicate(timeout=60)[1]
        self.assertEqual(waits.returncode, 0, told)
        self.assertNotIn(b"spillfs:", told)
        self.assertEqual((self.path / "file").read_bytes(), b"before, after")

    def test_who_keeps_a_detached_mount_is_named(self):
        self.mount()
        keeps = subprocess.Popen(["sleep", "100"], cwd=self.path)
        self.addCleanup(keeps.wait)
        self.addCleanup(keeps.kill)
        subprocess.run(["umount", "-l", self.path], check=True)
        begin = time.monotonic()
        text = self.mount(code=IN_USE)
        self.assertGreater(time.monotonic() - begin, DETACHED_PATIENCE * 0.9)
        *said, text = text.splitlines()
        self.assertTrue(all("waits for" in line for line in said), said)
        self.assertRegex(text, rf"\Aspillfs: store {self.store.store} is in use .*{self.path}")
        self.assertIn(f"{keeps.pid} (sleep)", text)
        keeps.kill()
        self.mount()

    def test_in_use(self):
        """At once, and where it is said."""
        self.mount()
        supervisor = self.supervisor()
        begin = time.monotonic()
        text = self.mount(self.other, code=IN_USE)
        self.assertLess(time.monotonic() - begin, DETACHED_PATIENCE / 2)
        self.assertEqual(text, f"spillfs: store {self.store.store} is in use by another spillfs: it is "
                               f"mounted on {self.path} (process {supervisor}); unmount it first\n")
        self.assertEqual(m.spillfs("check", self.store.store).returncode, IN_USE)

    def test_it_tells_where_the_mount_is_by_now(self):
        self.mount()
        parent = self.store.root / "parent"
        parent.mkdir()
        (parent / "mnt").mkdir()
        subprocess.run(["mount", "--move", self.path, parent / "mnt"], check=True)
        self.assertIn(f"mounted on {parent / 'mnt'} ", self.mount(self.other, code=IN_USE))
        subprocess.run(["umount", parent / "mnt"], check=True)
        self.mount()

    def test_the_supervisor_is_killed(self):
        """Its worker seals what is open, and holds the store until then."""
        self.mount()
        pids = status_of(self.path)
        (self.path / "file").write_bytes(b"x" * MIB)
        os.kill(pids["supervisor_pid"], signal.SIGKILL)
        self.mount(self.other)
        self.assertEqual((self.other / "file").read_bytes(), b"x" * MIB)
        subprocess.run(["umount", "-l", self.path], check=True)  # nothing serves it any more

    def test_what_a_crash_has_left_is_no_end(self):
        """The lock file of a daemon that died at its end says so still; another that has the store
        by now is not waited for."""
        self.mount()
        lock = self.store.store / "lock"
        pids = status_of(self.path)
        line = lock.read_text(encoding="utf-8")
        for pid in (pids["supervisor_pid"], pids["worker_pid"]):
            os.kill(pid, signal.SIGKILL)
        m.wait_until(lambda: not m.alive(pids["worker_pid"]), 30, "the daemon's end")
        lock.write_text(line.replace('"doing":""', '"doing":"ends"'), encoding="utf-8")
        self.mount(self.other)
        begin = time.monotonic()
        self.mount(code=IN_USE)
        self.assertLess(time.monotonic() - begin, DETACHED_PATIENCE / 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
