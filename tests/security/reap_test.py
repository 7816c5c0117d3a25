# SPDX-License-Identifier: Apache-2.0
"""Root reaps where users may rename: what is another user's, and in use, stays."""
import contextlib
import ctypes
import json
import os
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import cases, machine
from support import mounted as m
from support.system_calls import EXCHANGE, rename2
from support.users import as_user

m.need_fuse()
machine.own_mounts()
m.limit_time(100)

ALICE, BOB = 4001, 4002
WORKER = "worker-a1b2c3d4"
FILES = 60
ROUNDS = 40


def fill(folder):
    folder.mkdir(mode=0o700)
    for number in range(FILES):
        (folder / str(number)).write_bytes(b"x")


class Reap(cases.OnStores):
    @classmethod
    def setUpClass(cls):
        cases.call_myself("test")  # not python: that could be Dask
        cls.store = m.Mounted().mount()

    @classmethod
    def tearDownClass(cls):
        cls.store.umount()
        cls.store.check()
        cls.store.check_log()
        cls.store.close()

    def made_by(self, uid, name, make):
        """In a process that is gone afterwards."""
        def call():
            cases.call_myself(name)
            make()
        as_user(uid, call)

    def space(self, name):
        """Alice's, where anybody may make directories, and she may rename them."""
        space = self.store.path / name / "dask-scratch-space"

        def make():
            space.parent.mkdir(mode=0o755)
            space.mkdir()
            os.chmod(space, 0o777)
        self.made_by(ALICE, "bash", make)
        return space

    def reap(self, *options):
        return m.spillfs("reap", self.store.path, "--older-than", "0s", *options)

    @contextlib.contextmanager
    def exchanging(self, one, other):
        """Alice does, as fast as she can."""
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
                os.setgid(ALICE)
                os.setuid(ALICE)
                while True:
                    with contextlib.suppress(FileNotFoundError):
                        rename2(one, other, EXCHANGE)
            os._exit(1)
        try:
            yield
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def test_names_that_change_places(self):
        space = self.space("race")
        bobs = space / "private"
        self.made_by(BOB, "bash", lambda: fill(bobs))
        kept = bobs.stat().st_ino
        for _ in range(ROUNDS):
            if not (space / WORKER).exists():
                self.made_by(ALICE, "python3", lambda: fill(space / WORKER))
            with self.exchanging(space / WORKER, bobs):
                self.reap()
            left = [entry.path for entry in os.scandir(space) if entry.inode() == kept]
            self.assertEqual(len(left), 1, "Bob's directory")
            self.assertEqual(len(os.listdir(left[0])), FILES, "Bob's files")
            if left[0] != str(bobs):
                if bobs.exists():
                    rename2(left[0], bobs, EXCHANGE)
                else:
                    os.rename(left[0], bobs)

    def test_a_directory_that_was_given_a_runtimes_name(self):
        space = self.space("renamed")
        self.made_by(BOB, "python3", lambda: fill(space / "private"))
        as_user(ALICE, lambda: os.rename(space / "private", space / WORKER))
        self.reap()
        self.assertEqual(len(os.listdir(space / WORKER)), FILES, "Bob's files")

    def test_what_another_user_put_into_it(self):
        space = self.space("shared")
        self.made_by(ALICE, "python3", lambda: (fill(space / WORKER), os.chmod(space / WORKER, 0o777)))
        self.made_by(BOB, "bash", lambda: fill(space / WORKER / "bobs"))
        self.reap()
        self.assertEqual(len(os.listdir(space / WORKER / "bobs")), FILES, "Bob's files")

    def test_a_name_forges_no_line(self):
        forged = "x\nforged  1 bytes  removed\x1b[2J"
        space = self.space(forged)
        self.made_by(ALICE, "python3", lambda: fill(space / WORKER))
        said = self.reap("--dry-run").stdout
        mine = [line for line in said.splitlines() if WORKER in line and "removed" in line]
        self.assertEqual(len(mine), 1, said)
        self.assertIn(r"x\nforged", mine[0])
        self.assertFalse(any(line.startswith("forged") for line in said.splitlines()), said)
        self.assertNotIn("\x1b", said)
        found = [json.loads(line) for line in self.reap("--json").stdout.splitlines()]
        self.assertIn(str(space / WORKER), [each["path"] for each in found])
        self.assertFalse((space / WORKER).exists())

    def test_who_may_ask(self):
        desk = self.store.path / ".spillfs/reap"
        for flags in (os.O_RDONLY, os.O_RDWR):
            with self.assertRaises(PermissionError):
                as_user(ALICE, lambda flags=flags: os.open(desk, flags))
        with cases.opened(desk, os.O_RDWR) as file, self.assertRaises(OSError):
            os.write(file, b"{}")

    def test_the_space_comes_back(self):
        """The kernel, too, has forgotten what it knew of the names."""
        space = self.space("space")
        self.made_by(ALICE, "python3", lambda: (
            fill(space / WORKER), (space / WORKER / "large").write_bytes(b"x" * 20_000_000)))
        before = self.store.status()["charged_bytes"]
        os.stat(space / WORKER / "large")
        self.assertEqual(self.reap().returncode, 0)
        self.assertFalse((space / WORKER).exists())
        with self.assertRaises(FileNotFoundError):
            os.stat(space / WORKER / "large")
        m.wait_until(lambda: self.store.status()["charged_bytes"] <= before - 20_000_000, 20, "space")
        self.made_by(ALICE, "python3", lambda: fill(space / WORKER))
        self.assertEqual(len(os.listdir(space / WORKER)), FILES, "made anew")


if __name__ == "__main__":
    unittest.main(verbosity=2)
