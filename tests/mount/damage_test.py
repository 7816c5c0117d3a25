# SPDX-License-Identifier: Apache-2.0
"""Bits flip under a mount: scrub finds them, what they are in is refused, and a lost index is made
again from the segments."""
import errno
import json
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m

m.need_fuse()
m.limit_time(110)
OK, PROBLEMS, USAGE, MOUNTPOINT, STORE, IN_USE, SYSTEM = range(7)


def flip(file, at):
    with open(file, "r+b") as segment:
        segment.seek(at)
        byte = segment.read(1)
        segment.seek(at)
        segment.write(bytes([byte[0] ^ 1]))


class Damage(unittest.TestCase):
    def setUp(self):
        self.store = m.Mounted("fuse_limit=64KiB")
        self.addCleanup(self.store.close)
        self.store.mount()
        self.data = {"small": b"s" * 30_000, "large": b"l" * 3_000_000,
                     "session/spill/next": b"n" * 20_000, "session/spill/more": b"m" * 2_000_000}
        os.makedirs(self.store.path / "session/spill")
        for name, data in self.data.items():
            (self.store.path / name).write_bytes(data)

    def segment(self, name):
        return next((self.store.store / "segments").glob(name))

    def expect(self, refused=()):
        for name, data in self.data.items():
            if name not in refused:
                self.assertEqual((self.store.path / name).read_bytes(), data, name)
                continue
            with self.assertRaises(OSError) as caught:
                (self.store.path / name).read_bytes()
            self.assertEqual(caught.exception.errno, errno.EIO)

    def scrub(self, code):
        done = m.spillfs("scrub", self.store.path)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def rebuild(self, code, *more):
        done = m.spillfs("check", self.store.store, "--rebuild", *more)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr


class Scrub(Damage):
    def test_finds_what_reads_have_not(self):
        self.assertIn("no damage", self.scrub(OK))
        self.store.umount()
        private = next(file for file in (self.store.store / "segments").glob("*.private")
                       if file.stat().st_size == 3_000_000)
        flip(private, 2_000_000)
        self.store.mount()
        told = self.scrub(PROBLEMS)
        for text in (private.name, "/large", str(1 << 20), "1 damaged"):
            self.assertIn(text, told)
        self.assertIn(f"segment {private.name} is damaged at {1 << 20}", self.store.log())
        status = json.loads((self.store.path / ".spillfs/status").read_text())
        self.assertEqual(status["damaged_files"], 1)
        self.assertGreater(status["scrubbed_bytes"], 0)
        self.assertIn("T", status["last_full_scrub"])
        self.expect(refused=["large"])
        self.store.umount()
        self.store.mount()
        self.expect(refused=["large"])
        (self.store.path / "large").write_bytes(self.data["large"])
        self.expect()
        self.scrub(OK)
        self.store.umount()
        self.store.check()

    def test_lines_of_json(self):
        done = m.spillfs("scrub", self.store.path, "--json")
        self.assertEqual(done.returncode, OK, done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertTrue(lines[-1]["done"])
        self.assertEqual(lines[-1]["damaged"], 0)
        self.assertEqual(lines[-1]["files"] + lines[-1]["files_without_sums"], len(self.data))

    def test_is_for_root_and_the_owner(self):
        done = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "cat",
                               self.store.path / ".spillfs/scrub"], capture_output=True,
                              check=False)
        self.assertIn(b"Permission denied", done.stderr)
        done = m.spillfs("scrub", self.store.root)
        self.assertEqual(done.returncode, MOUNTPOINT, done.stderr)


class LostIndex(Damage):
    def lose_all(self):
        shutil.rmtree(self.store.store / "index")

    def lose_current(self):
        (self.store.store / "index/CURRENT").unlink()

    def flip_tables(self):
        tables = list((self.store.store / "index").glob("*.sst"))
        self.assertTrue(tables)
        for table in tables:
            for at in range(40, table.stat().st_size, 500):
                flip(table, at)

    def never_a_wrong_byte(self):
        """It is refused, or it serves what it can."""
        try:
            self.store.mount()
        except AssertionError as refused:
            self.assertIn("--rebuild", str(refused))
            return
        for name, data in self.data.items():
            try:
                self.assertEqual((self.store.path / name).read_bytes(), data)
            except OSError:
                pass
        self.store.umount()

    def test_is_made_again(self):
        self.assertEqual(m.spillfs("check", self.store.store, "--rebuild").returncode, IN_USE)
        self.store.umount()
        self.store.mount()  # writes its log into tables
        self.store.umount()
        self.assertIn("--force", self.rebuild(USAGE))
        for times, lose in enumerate((self.lose_all, self.lose_current, self.flip_tables)):
            with self.subTest(lose.__name__):
                lose()
                self.never_a_wrong_byte()
                told = self.rebuild(OK)
                self.assertIn(f"{len(self.data)} files, of them 0 in lost+found, and 2 directories",
                              told)
                self.assertIn("deleted may be back", told)
                aside = self.store.store / f"index.damaged-{times}"
                self.assertEqual(aside.exists(), times > 0)
                self.store.check()
                self.store.mount()
                self.expect()
                self.store.umount()
                self.store.mount()
                self.store.umount()
        self.rebuild(OK, "--force")

    def test_says_what_is_damaged(self):
        self.store.umount()
        flip(self.segment("*.fused"), 4096 + 5000)
        self.lose_all()
        told = self.rebuild(PROBLEMS)
        self.assertIn("is damaged at 4096", told)
        self.store.mount()
        self.expect(refused=["small"])
        self.store.umount()


if __name__ == "__main__":
    unittest.main(verbosity=2)
