# SPDX-License-Identifier: Apache-2.0
"""Bad input: a sentence on stderr that says what to do, a stable exit code, nothing harmed."""
import errno
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m

m.need_fuse()
m.limit_time(240)
OK, PROBLEMS, USAGE, MOUNTPOINT, STORE, IN_USE, SYSTEM = range(7)


class BadInput(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.store = self.root / "store"
        self.mnt = self.root / "mnt"
        self.mnt.mkdir()

    def refused(self, code, text, *arguments):
        done = m.spillfs(*arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertIn(text, done.stderr)
        self.assertFalse(m.is_mounted(self.mnt))

    def make_store(self, *more):
        done = m.spillfs("mount", self.store, self.mnt, *more)
        self.assertEqual(done.returncode, OK, done.stderr)
        self.umount()

    def umount(self):
        done = m.spillfs("umount", self.mnt)
        self.assertEqual(done.returncode, OK, done.stderr)

    def edit_store_file(self, change):
        file = self.store / "store.json"
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))


class CommandLine(BadInput):
    def test_usage(self):
        for arguments in ((), ("mouhnt",), ("mount",), ("mount", self.store), ("umount",),
                          ("mount", self.store, self.mnt, "--quick")):
            done = m.spillfs(*arguments)
            self.assertEqual(done.returncode, USAGE, arguments)
            self.assertTrue(done.stderr, arguments)

    def test_options(self):
        for options, text in (("quotta=1GiB", "did you mean 'quota'"), ("quota", "needs a value"),
                              ("allow_other=1", "takes no value"), ("quota=lots", "'lots'"),
                              ("quota=-1", "'-1'"), ("quota=1XB", "'1XB'"),
                              ("quota=99999999999GiB", "99999999999GiB"), ("quota=", "quota"),
                              ("threads=0", "threads"), ("space_wait=soon", "'soon'"),
                              ("log_level=loud", "'loud'"), ("fuse_limit=1TiB", "fuse_limit")):
            with self.subTest(options):
                self.refused(USAGE, text, "mount", self.store, self.mnt, "-o", options)
        self.assertFalse(self.store.exists())


class Mountpoint(BadInput):
    def test_missing(self):
        self.refused(MOUNTPOINT, "mkdir -p", "mount", self.store, self.root / "nowhere")

    def test_a_file(self):
        file = self.root / "file"
        file.write_text("kept")
        self.refused(MOUNTPOINT, "not a directory", "mount", self.store, file)
        self.assertEqual(file.read_text(), "kept")

    def test_not_empty(self):
        (self.mnt / "file").write_text("kept")
        self.refused(MOUNTPOINT, "not empty", "mount", self.store, self.mnt)

    def test_holds_the_store(self):
        for more in ((), ("-o", f"data={self.root}/data:{self.mnt}/data")):
            store = self.store if more else self.mnt / "store"
            self.refused(MOUNTPOINT, "lie in the mountpoint", "mount", store, self.mnt, *more)

    def test_without_a_name(self):
        self.refused(USAGE, "give a store and a mountpoint", "mount", self.store, "")

    def test_behind_a_symlink(self):
        link = self.root / "link"
        link.symlink_to(self.mnt)
        store = self.root / "store, with a comma"
        self.assertEqual(m.spillfs("mount", store, link).returncode, OK)
        self.assertEqual(m.spillfs("umount", link).returncode, OK)
        self.assertFalse(m.is_mounted(self.mnt))

    def test_already_mounted_and_store_in_use(self):
        self.assertEqual(m.spillfs("mount", self.store, self.mnt).returncode, OK)
        self.addCleanup(subprocess.run, ["umount", "-l", self.mnt], check=False,
                        capture_output=True)
        done = m.spillfs("mount", self.root / "other", self.mnt)
        self.assertEqual(done.returncode, MOUNTPOINT, done.stderr)
        self.assertIn("already mounted", done.stderr)
        other = self.root / "other-mnt"
        other.mkdir()
        for arguments in (("mount", self.store, other), ("check", self.store)):
            done = m.spillfs(*arguments)
            self.assertEqual(done.returncode, IN_USE, done.stderr)
            self.assertIn("in use", done.stderr)
        (self.mnt / "file").write_text("still works")
        self.umount()

    def test_nothing_mounted(self):
        self.refused(MOUNTPOINT, "", "umount", self.mnt)


class StoreDirectory(BadInput):
    def test_newer_format(self):
        self.make_store()
        self.edit_store_file(lambda content: content.update(format_version=99))
        self.refused(STORE, "use a newer spillfs", "mount", self.store, self.mnt)
        self.refused(STORE, "use a newer spillfs", "check", self.store)

    def test_index_is_gone(self):
        """It must not become an empty one."""
        self.assertEqual(m.spillfs("mount", self.store, self.mnt).returncode, OK)
        (self.mnt / "file").write_text("kept")
        self.umount()
        index, kept = self.store / "index", self.root / "index"
        shutil.copytree(index, kept)
        for damage in (lambda: shutil.rmtree(index), (index / "CURRENT").unlink):
            damage()
            for _ in range(2):
                self.refused(STORE, "restore the index", "mount", self.store, self.mnt)
                self.refused(PROBLEMS, "restore the index", "check", self.store)
            shutil.rmtree(index, ignore_errors=True)
            shutil.copytree(kept, index)
        self.assertEqual(m.spillfs("mount", self.store, self.mnt).returncode, OK)
        self.assertEqual((self.mnt / "file").read_text(), "kept")
        self.umount()

    def test_of_something_else(self):
        self.store.mkdir()
        (self.store / "thesis.txt").write_text("kept")
        self.refused(STORE, "not a spillfs store", "mount", self.store, self.mnt)
        self.assertEqual(os.listdir(self.store), ["thesis.txt"])
        self.refused(STORE, "not a spillfs store", "check", self.store)

    def test_damaged(self):
        self.make_store()
        (self.store / "store.json").write_text("{")
        self.refused(STORE, "damaged", "mount", self.store, self.mnt)

    def test_other_data_directories(self):
        self.make_store("-o", f"data={self.root}/a:{self.root}/b")
        self.refused(STORE, "leave data= out", "mount", self.store, self.mnt, "-o",
                     f"data={self.root}/c")
        shutil.rmtree(self.root / "b")
        self.refused(STORE, f"{self.root}/b", "mount", self.store, self.mnt)

    def test_is_a_file(self):
        self.store.write_text("kept")
        self.refused(STORE, str(self.store), "mount", self.store, self.mnt)

    def test_read_only(self):
        self.store.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m,mode=755", "tmpfs", self.store],
                       check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.store], check=True)
        self.refused(SYSTEM, "mount it with -o ro", "mount", self.store, self.mnt)

    def test_index_of_nothing(self):
        self.make_store()
        current = self.store / "index/CURRENT"
        current.write_text("MANIFEST-999999\n")
        self.refused(SYSTEM, "index", "mount", self.store, self.mnt)


class DamagedSegments(unittest.TestCase):
    """Only the file concerned is refused, with EIO and a log line; check names it."""

    def setUp(self):
        self.store = m.Mounted("fuse_limit=64KiB")
        self.addCleanup(self.store.close)
        self.store.mount()
        self.data = {"small": b"s" * 30_000, "next": b"n" * 30_000, "large": b"l" * 3_000_000}
        for name, data in self.data.items():
            (self.store.path / name).write_bytes(data)
        self.store.umount()
        segments = self.store.store / "segments"
        self.fused = next(segments.glob("*.fused"))
        self.private = next(segments.glob("*.private"))

    def flip(self, file, marker):
        with open(file, "r+b") as segment:
            at = segment.read().index(marker * 1000) + 500
            segment.seek(at)
            segment.write(b"#")

    def expect_eio(self, *damaged):
        self.store.mount()
        for name, data in self.data.items():
            path = self.store.path / name
            if name in damaged:
                with self.assertRaises(OSError) as caught:
                    path.read_bytes()
                self.assertEqual(caught.exception.errno, errno.EIO)
            else:
                self.assertEqual(path.read_bytes(), data)
        (self.store.path / "new").write_bytes(b"works")
        for name in damaged:
            (self.store.path / name).unlink()
        self.store.umount()
        if damaged:
            self.assertIn("[error]", self.store.log())

    def expect_problems(self, text):
        done = m.spillfs("check", self.store.store)
        self.assertEqual(done.returncode, PROBLEMS, done.stdout + done.stderr)
        self.assertIn(text, done.stdout + done.stderr)

    def test_bit_in_a_fused_segment(self):
        self.flip(self.fused, b"s")
        self.expect_problems("damaged")
        self.expect_eio("small")
        self.store.check()

    def test_bit_in_a_private_segment(self):
        self.store.options = "without=passthrough"  # then the kernel reads without us
        self.flip(self.private, b"l")
        self.expect_problems("damaged")
        self.expect_eio("large")
        self.store.check()

    def test_truncated_fused_segment(self):
        os.truncate(self.fused, 45_000)
        self.expect_problems("segment")
        self.expect_eio("next")

    def test_truncated_private_segment(self):
        os.truncate(self.private, 1_000_000)
        self.expect_problems("segment")
        self.expect_eio("large")
        self.store.check()

    def test_missing_segments(self):
        self.fused.unlink()
        self.private.unlink()
        self.expect_problems("segment")
        self.expect_eio("small", "next", "large")

    def test_another_stores_segment(self):
        other = m.Mounted("fuse_limit=64KiB")
        self.addCleanup(other.close)
        other.mount()
        (other.path / "secret").write_bytes(b"x" * 60_000)
        other.umount()
        shutil.copy(next((other.store / "segments").glob("*.fused")), self.fused)
        self.expect_problems("another store")
        self.expect_eio("small", "next")

    def test_a_file_that_is_no_segment(self):
        (self.store.store / "segments/99.private").write_bytes(b"stray")
        (self.store.store / "segments/README").write_bytes(b"not ours")
        self.expect_problems("99.private")
        self.expect_eio()


if __name__ == "__main__":
    unittest.main(verbosity=2)
