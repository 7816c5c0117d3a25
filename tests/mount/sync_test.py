# SPDX-License-Identifier: Apache-2.0
"""spillfs sync: what it brings to disk, who may ask, and what it says when it can't. What is there
after a loss of power the unit tests say."""
import concurrent.futures
import contextlib
import mmap
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m
from support.cases import OnStores
from support.users import as_user

m.need_fuse()
m.limit_time(60)
MIB = 1 << 20
ALICE = 4001


class Sync(OnStores):
    def setUp(self):
        self.store = self.mounted("")
        self.root = pathlib.Path(self.store.path)

    def sync(self, path=None):
        return m.spillfs("sync", path or self.root)

    def succeeds(self):
        done = self.sync()
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def refused(self, done, code, *words):
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("spillfs: "), done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def closed(self, *fds):
        """Of a mount that has ended."""
        for fd in fds:
            with contextlib.suppress(OSError):
                os.close(fd)

    def test_of_closed_files(self):
        for i in range(20):
            (self.root / f"small{i}").write_bytes(b"bytes")
        (self.root / "large").write_bytes(bytes(5 * MIB))
        self.assertTrue(self.store.status()["unsynced"])
        self.succeeds()
        self.assertFalse(self.store.status()["unsynced"])
        self.succeeds()
        self.ended_well(self.store)

    def test_of_open_files(self):
        """They are sealed as by fsync, and survive every process."""
        contents = {"stream": b"in order", "both": b"to be read as well", "large": bytes(5 * MIB)}
        flags = {"stream": os.O_WRONLY, "both": os.O_RDWR, "large": os.O_WRONLY}
        fds = [os.open(self.root / name, os.O_CREAT | flags[name]) for name in contents]
        for fd, content in zip(fds, contents.values()):
            self.assertEqual(os.write(fd, content), len(content))
        self.succeeds()
        self.assertFalse(self.store.status()["unsynced"])
        os.write(fds[0], b" and more")
        self.store.kill()
        self.closed(*fds)
        self.store.mount()
        for name, content in contents.items():
            self.assertEqual((self.root / name).read_bytes()[:len(content)], content, name)
        self.ended_well(self.store)

    def test_of_what_is_mapped(self):
        path = self.root / "mapped"
        path.write_bytes(bytes(mmap.PAGESIZE))
        fd = os.open(path, os.O_RDWR)
        with mmap.mmap(fd, mmap.PAGESIZE) as mapping:
            mapping[:5] = b"bytes"
            self.succeeds()
            self.store.kill()
        self.closed(fd)
        self.store.mount()
        self.assertEqual(path.read_bytes()[:5], b"bytes")
        self.ended_well(self.store)

    def test_the_kernel_passes_no_syncfs_on(self):
        """Should a kernel do that one day, SEMANTICS.md says something else."""
        (self.root / "file").write_bytes(b"bytes")
        subprocess.run(["sync", "-f", self.root], check=True)
        self.assertNotIn("SYNCFS", self.store.status()["requests"])
        self.ended_well(self.store)

    def test_everyone_may(self):
        program = shutil.copy(m.PROGRAM, self.store.root)  # the build may lie where she can't look

        def file_and_sync():
            (self.root / "alices").write_bytes(b"bytes")
            return m.spillfs("sync", self.root, program=program).returncode
        self.assertEqual(as_user(ALICE, file_and_sync), 0)
        self.assertFalse(self.store.status()["unsynced"])
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            self.assertEqual({done.returncode for done in pool.map(self.sync, [None] * 16)}, {0})
        self.ended_well(self.store)

    def test_while_workers_die(self):
        if not self.store.goes_on():
            self.skipTest("this kernel can't send requests again")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            for i in range(4):
                (self.root / f"file{i}").write_bytes(b"bytes")
                asked = pool.submit(self.sync)
                self.store.kill_worker()
                self.assertEqual(asked.result().returncode, 0, asked.result().stderr)
        self.assertFalse(self.store.status()["unsynced"])
        self.store.log_lines_allowed = ("died",)
        self.ended_well(self.store)

    def test_of_no_mount(self):
        self.refused(self.sync(self.store.root), 3, "no live spillfs is mounted on",
                     str(self.store.root))
        (self.store.root / "looks").mkdir()
        (self.store.root / "looks/.spillfs").mkdir()
        (self.store.root / "looks/.spillfs/sync").write_text("")
        self.refused(self.sync(self.store.root / "looks"), 3, "no live spillfs")
        self.assertEqual(m.spillfs("sync").returncode, 2)
        self.store.kill()
        self.refused(self.sync(), 3, "no live spillfs is mounted on", str(self.root))
        self.store.mount()
        self.ended_well(self.store)


if __name__ == "__main__":
    unittest.main(verbosity=2)
