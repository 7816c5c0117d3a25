# SPDX-License-Identifier: Apache-2.0
"""The mount outlives its worker and its program: what is open goes on, and a program that can't go on
with a mount does not get it."""
import os
import shutil
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m

m.need_fuse()
m.limit_time(200)
ORIGINAL = m.PROGRAM


class RestartCase(unittest.TestCase):
    def setUp(self):
        self.store = m.Mounted()
        self.addCleanup(self.store.close)

    def mount(self):
        self.store.mount()
        if not self.store.goes_on():
            self.skipTest("this kernel can't send requests again, or is told not to")

    def end(self):
        self.store.umount()
        self.store.check()


class Worker(RestartCase):
    def test_what_is_open_goes_on(self):
        self.mount()
        path = self.store.path
        with open(path / "small", "wb", buffering=0) as small, \
                open(path / "large", "wb", buffering=0) as large, \
                open(path / "both", "w+b", buffering=0) as both, \
                open(path / ".spillfs/status", encoding="utf-8") as control:
            small.write(b"s" * 5000)
            large.write(b"l" * 9_000_000)
            both.write(b"b" * 100)
            os.unlink(path / "both")
            first = control.read(20)
            self.store.kill_worker()
            small.write(b"S" * 5000)
            large.write(b"L" * 9_000_000)
            self.assertEqual(os.pread(both.fileno(), 200, 0), b"b" * 100)
            control.seek(0)
            self.assertEqual(control.read(20), first)
        self.assertEqual((path / "small").read_bytes(), b"s" * 5000 + b"S" * 5000)
        self.assertEqual((path / "large").read_bytes(), b"l" * 9_000_000 + b"L" * 9_000_000)
        self.assertEqual(sorted(os.listdir(path)), ["large", "small"])
        self.assertEqual(self.store.status()["restarts"], 1)
        m.wait_until(lambda: len(list((self.store.store / "segments").iterdir())) == 2, 10,
                     "the removed file's segment goes")
        self.end()

    def test_whoever_reads_its_log_may_go(self):
        reader, log = os.pipe()
        self.store.mount(log=log)
        os.close(log)
        os.close(reader)
        if self.store.goes_on():
            self.store.kill_worker()  # of which the supervisor tells
            self.assertEqual(self.store.status()["restarts"], 1)
        self.end()

    def test_what_is_deleted_gives_its_space_back_after_a_restart(self):
        self.mount()
        data = os.urandom(9_000_000)
        for number in range(4):
            (self.store.path / str(number)).write_bytes(data)
        for number in range(4):
            os.unlink(self.store.path / str(number))
        self.store.kill_worker()
        m.wait_until(lambda: self.store.status()["charged_bytes"] < 100_000, 20, "the space is back")
        self.end()

    def test_workers_that_keep_dying_end_the_mount(self):
        self.mount()
        (self.store.path / "closed").write_bytes(b"kept" * 1000)
        end = time.monotonic() + 60
        while not self.store.ended() and time.monotonic() < end:
            try:
                os.kill(self.store.worker(), signal.SIGKILL)
            except (IndexError, FileNotFoundError, ProcessLookupError):
                pass
            time.sleep(0.01)
        self.assertEqual(self.store.process.wait(20), 7)
        self.assertIn("as 7 before it did", self.store.log())
        self.assertFalse(m.is_mounted(self.store.path))
        self.store.check()
        self.store.mount()
        self.assertEqual((self.store.path / "closed").read_bytes(), b"kept" * 1000)
        self.end()


class Upgrade(RestartCase):
    def setUp(self):
        super().setUp()
        self.program = self.store.root / "program"
        shutil.copy(ORIGINAL, self.program)
        m.PROGRAM = str(self.program)
        self.addCleanup(setattr, m, "PROGRAM", ORIGINAL)

    def install(self, script=None):
        new = self.store.root / "new"
        if script is None:
            shutil.copy(ORIGINAL, new)
        else:
            new.write_text(script)
            new.chmod(0o755)
        os.replace(new, self.program)

    def upgrade(self):
        m.PROGRAM, kept = ORIGINAL, m.PROGRAM
        try:
            return m.spillfs("upgrade", self.store.path)
        finally:
            m.PROGRAM = kept

    def is_running(self):
        return [os.stat(f"/proc/{pid}/exe").st_ino
                for pid in (self.store.process.pid, self.store.worker())]

    def test_a_new_program_goes_on(self):
        self.mount()
        supervisor = self.store.status()["supervisor_pid"]
        for number in (1, 2):
            with open(self.store.path / "open", "wb", buffering=0) as file:
                file.write(b"before")
                self.install()
                done = self.upgrade()
                self.assertEqual(done.returncode, 0, done.stderr + self.store.log())
                self.assertIn("goes on with spillfs", done.stdout)
                file.write(b"after")
            self.assertEqual((self.store.path / "open").read_bytes(), b"beforeafter")
            now = self.store.status()
            self.assertEqual((now["upgrades"], now["supervisor_pid"]), (number, supervisor))
            m.wait_until(lambda: self.is_running() == [os.stat(self.program).st_ino] * 2, 10,
                         "both run the new program")
        self.store.kill_worker()
        self.assertEqual((self.store.path / "open").read_bytes(), b"beforeafter")
        self.end()
        self.store.check_log()

    def refused(self, script):
        self.install(script)
        with open(self.store.path / "open", "wb", buffering=0) as file:
            file.write(b"before")
            done = self.upgrade()
            self.assertEqual(done.returncode, 6, done.stdout)
            self.assertIn("the old one does", done.stderr)
            file.write(b"after")
        self.assertEqual((self.store.path / "open").read_bytes(), b"beforeafter")

    def test_a_program_that_can_not_is_refused(self):
        self.mount()
        for script in ("not a program", "#!/bin/sh\nexit 1\n",
                       "#!/bin/sh\ncase $2 in --probe) exit 0;; esac\nexit 1\n",
                       "#!/bin/sh\ncase $2 in --probe) exit 0;; esac\nkill -9 $$\n"):
            self.refused(script)
        self.program.unlink()
        self.assertEqual(self.upgrade().returncode, 6)
        now = self.store.status()
        self.assertEqual((now["upgrades"], now["failed_upgrades"]), (0, 5))
        m.PROGRAM = ORIGINAL
        self.end()

    def test_there_is_no_mount(self):
        done = m.spillfs("upgrade", self.store.path)
        self.assertEqual(done.returncode, 3)
        self.assertIn("no live spillfs", done.stderr)


if __name__ == "__main__":
    unittest.main()
