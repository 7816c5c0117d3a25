# SPDX-License-Identifier: Apache-2.0
"""Deletes and space: unlink returns at once, space comes back, a writer waits for it and then gets
ENOSPC, what was acknowledged stays, and writing works again after a delete."""
import errno
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import cases
from support import mounted as m

m.need_fuse()
m.limit_time(280)
MIB = 1 << 20
PIECE = os.urandom(MIB)


def write(path, mib):
    """Writes until done or refused; returns the errno, 0 for success."""
    with open(path, "wb", buffering=0) as file:
        for _ in range(mib):
            try:
                if file.write(PIECE) != MIB:
                    return errno.ENOSPC
            except OSError as error:
                return error.errno
    return 0


def free_mib(path):
    return m.free_bytes(path) // MIB


class OnStore(cases.OnStores):
    def small_disk(self, mib, kind="ext4"):
        """A mounted file system of its own."""
        root = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-disk-"))
        self.addCleanup(root.rmdir)
        if kind == "tmpfs":
            command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=755", "tmpfs", root]
        else:
            image = pathlib.Path(tempfile.mkstemp(prefix="spillfs-image-")[1])
            self.addCleanup(image.unlink)
            os.truncate(image, mib * MIB)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
            command = ["mount", "-o", "loop", image, root]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.skipTest(f"no disk of our own: {done.stderr}")
        self.addCleanup(subprocess.run, ["umount", "-l", root], check=True)
        return root


class Reserve(OnStore):
    def test_an_empty_store_is_empty(self):
        """What is kept for the index is as the blocks that ext4 reserves: neither used nor free."""
        disk = self.small_disk(600)
        reserve = 200 * MIB
        store = self.mounted(f"index_reserve={reserve}", disk)
        found, other = os.statvfs(store.path), os.statvfs(disk)
        self.assertEqual((found.f_bfree - found.f_bavail) * found.f_frsize, reserve)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        self.assertLessEqual(abs(used - (other.f_blocks - other.f_bavail) * other.f_frsize), MIB)
        said = "200.0 MiB reserved for the index"
        text = m.spillfs("status", store.path).stdout
        self.assertRegex(text, rf"(?m)^  used .* free, {said}$")
        self.assertRegex(text, rf"(?m)^  disk .* {store.store}: .*, {said}$")
        self.assertIn(said, m.spillfs("top", "--once", store.path).stdout)
        self.assertRegex(m.spillfs("doctor", store.path).stdout, rf"(?m)^OK +space .*, {said}$")
        self.ended_well(store)

    def test_a_quota_ends_before_it(self):
        store = self.mounted("quota=64MiB", self.small_disk(600))
        found = os.statvfs(store.path)
        self.assertEqual(found.f_bfree, found.f_bavail)
        self.assertNotRegex(m.spillfs("status", store.path).stdout, "(?m)^  used .*reserved")
        self.ended_well(store)


class Unlink(OnStore):
    def test_of_4_gib_returns_at_once(self):
        if free_mib(tempfile.gettempdir()) < 8192:
            self.skipTest("needs 8 GiB of free space")
        store = self.mounted("pool=0")
        # What others write to the disk meanwhile is in both.
        kept_back = free_mib(store.root) - free_mib(store.path)
        self.assertEqual(write(store.path / "large", 4096), 0)
        self.assertGreaterEqual(store.status()["charged_bytes"], 4096 * MIB)
        start = time.monotonic()
        (store.path / "large").unlink()
        took = time.monotonic() - start
        print(f"unlink of 4 GiB took {took * 1000:.1f} ms", flush=True)
        self.assertEqual(os.listdir(store.path), [])
        m.wait_until(lambda: store.status()["charged_bytes"] == 0, 30, "nothing is charged")
        m.wait_until(lambda: store.status()["dead_bytes"] == 0, 60, "nothing is dead")
        m.wait_until(lambda: not list((store.store / "segments").glob("*.private")), 60,
                     "the segment's end")
        m.wait_until(lambda: abs(free_mib(store.root) - free_mib(store.path) - kept_back) < 512, 30,
                     "the space in statfs")
        self.ended_well(store)


class Quota(OnStore):
    def test_is_exact_and_keeps_what_was_acknowledged(self):
        store = self.mounted("quota=65540KiB,space_wait=15s")  # with 4 KiB for three names
        self.assertEqual(os.statvfs(store.path).f_blocks * 4096, 64 * MIB + 4096)
        self.assertEqual(write(store.path / "kept", 40), 0)
        self.assertEqual(write(store.path / "too much", 40), errno.ENOSPC)
        self.assertEqual((store.path / "kept").read_bytes(), PIECE * 40)
        self.assertEqual((store.path / "too much").stat().st_size, 24 * MIB)
        self.assertEqual(free_mib(store.path), 0)
        self.assertEqual((store.path / "too much").read_bytes(), PIECE * 24)
        (store.path / "kept").unlink()
        self.assertEqual(write(store.path / "again", 40), 0)
        self.assertEqual((store.path / "again").read_bytes(), PIECE * 40)
        self.ended_well(store)

    def test_small_files(self):
        store = self.mounted("quota=16MiB,space_wait=15s")
        made = []
        with self.assertRaises(OSError) as caught:
            for number in range(2000):
                path = store.path / f"f{number}"
                path.write_bytes(PIECE[:20_000])
                made.append(path)
        self.assertEqual(caught.exception.errno, errno.ENOSPC)
        self.assertGreater(len(made), 700)
        for path in made:
            self.assertEqual(path.read_bytes(), PIECE[:20_000])
        for path in made[::2]:
            path.unlink()
        m.wait_until(lambda: free_mib(store.path) >= 5, 10, "compaction")
        (store.path / "again").write_bytes(PIECE)
        self.ended_well(store)

    def test_a_writer_waits_for_reclaim(self):
        """While it waits others go on; the unlink that makes room lets it finish."""
        store = self.mounted("quota=64MiB,space_wait=30s")
        self.assertEqual(write(store.path / "old", 60), 0)
        # Dead, but reclaim has to wait: the kernel holds the inode for this descriptor.
        holder = os.open(store.path / "old", os.O_PATH)
        (store.path / "other").write_bytes(PIECE)
        (store.path / "old").unlink()
        done = []
        writer = threading.Thread(target=lambda: done.append(write(store.path / "new", 40)))
        writer.start()
        time.sleep(0.5)
        for _ in range(20):
            os.statvfs(store.path)
            os.listdir(store.path)
            self.assertEqual((store.path / "other").read_bytes(), PIECE)
        self.assertTrue(writer.is_alive())
        os.close(holder)
        writer.join(60)
        self.assertFalse(writer.is_alive())
        self.assertEqual(done, [0])
        self.assertEqual((store.path / "new").read_bytes(), PIECE * 40)
        self.ended_well(store)

    def test_steady_state(self):
        """Ten times the quota goes through, deletes just ahead of writes."""
        store = self.mounted("quota=64MiB,space_wait=30s")
        for number in range(32):
            self.assertEqual(write(store.path / f"f{number}", 20), 0)
            if number >= 1:
                (store.path / f"f{number - 1}").unlink()
        self.ended_well(store)


class FullDisk(OnStore):
    def fill(self, store):
        """Writes until there is no space; returns the names of whole files."""
        whole = []
        for number in range(1000):
            code = write(store.path / f"f{number}", 8)
            if code:
                self.assertEqual(code, errno.ENOSPC)
                return whole
            whole.append(store.path / f"f{number}")
        self.fail("the disk never gets full")

    def goes_on(self, store, whole):
        for path in whole:
            self.assertEqual(path.read_bytes(), PIECE * 8)
        for path in whole[: len(whole) // 2]:
            path.unlink()
        m.wait_until(lambda: free_mib(store.path) > len(whole) // 2 * 6, 20, "the space")
        self.assertEqual(write(store.path / "again", 16), 0)
        self.assertEqual((store.path / "again").read_bytes(), PIECE * 16)
        for path in whole[len(whole) // 2:]:
            self.assertEqual(path.read_bytes(), PIECE * 8)
        self.ended_well(store)

    def test_data_directory(self):
        disk = self.small_disk(192, "tmpfs")
        store = self.mounted(f"data={disk},space_wait=15s,segment_size=8MiB")
        whole = self.fill(store)
        self.assertGreater(len(whole), 15)
        self.goes_on(store, whole)

    def test_two_data_directories(self):
        one, two = self.small_disk(64, "tmpfs"), self.small_disk(128, "tmpfs")
        store = self.mounted(f"data={one}:{two},space_wait=15s,segment_size=8MiB")
        self.goes_on(store, self.fill(store))

    def test_store_and_index_on_one_disk(self):
        disk = self.small_disk(512)
        store = self.mounted("space_wait=15s,segment_size=8MiB", disk)
        whole = self.fill(store)
        self.assertGreater(m.free_bytes(disk), 200 * MIB)
        self.goes_on(store, whole)

    def test_filled_by_another_program(self):
        """Not a byte is left for the index: what is there can be read, and deletes still work."""
        disk = self.small_disk(512)
        store = self.mounted("space_wait=15s,segment_size=8MiB", disk)
        paths = [store.path / f"f{number}" for number in range(200)]
        for path in paths:
            path.write_bytes(PIECE[:50_000])
        hog = disk / "hog"
        with open(hog, "wb", buffering=0) as file:
            try:
                while file.write(PIECE) == MIB:
                    pass
                while file.write(bytes(4096)):
                    pass
            except OSError as error:
                self.assertEqual(error.errno, errno.ENOSPC)
        for number in range(300):
            try:
                (store.path / f"filler{number}").write_bytes(b"x" * 200_000)
            except OSError as error:
                self.assertEqual(error.errno, errno.ENOSPC)
                break
        for path in paths:
            self.assertEqual(path.read_bytes(), PIECE[:50_000])
            path.unlink()
        hog.unlink()
        m.wait_until(lambda: free_mib(store.path) > 50, 20, "the space")
        (store.path / "again").write_bytes(PIECE)
        store.umount()
        store.check()

    def test_mount_on_a_full_disk(self):
        disk = self.small_disk(192, "tmpfs")
        store = self.mounted(f"data={disk},space_wait=15s,segment_size=8MiB")
        whole = self.fill(store)
        store.umount()
        with open(disk / "hog", "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
        store.mount()
        for path in whole:
            self.assertEqual(path.read_bytes(), PIECE * 8)
            path.unlink()
        m.wait_until(lambda: free_mib(store.path) > 20, 20, "the space")
        self.assertEqual(write(store.path / "again", 8), 0)
        self.ended_well(store)


if __name__ == "__main__":
    unittest.main(verbosity=2)
