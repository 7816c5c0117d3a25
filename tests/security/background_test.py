# SPDX-License-Identifier: Apache-2.0
"""What an ordinary user makes the daemon read in the background: however much it is, it holds up no other user, no unmount
and not its own removal."""
import os
import pathlib
import subprocess
import sys
import time
import unittest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "powerloss")]
from disk import unshare_mounts
from support import mounted as m
from support.cases import OnStores
from support.users import as_user

m.need_fuse()
m.limit_time(230)
unshare_mounts()
MIB = 1 << 20
HUGE = 8 << 40
ATTACKER, OTHER = 1001, 1002
CHECKSUM_DELAY = 5  # seconds from a file's last close until its sums begin
ENDS = 30  # seconds that an unmount has; the daemon gives up after 60


def grow(path, size):
    """As truncate(1) does it: the close is that of a writer."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.ftruncate(fd, size)
    finally:
        os.close(fd)


def write(path, data):
    pathlib.Path(path).write_bytes(data)


def change_a_byte(path, at=100):
    fd = os.open(path, os.O_RDWR)
    try:
        os.pwrite(fd, b"!", at)
    finally:
        os.close(fd)


class Background(OnStores):
    def start(self, options=""):
        store = self.mounted(options)
        store.path.chmod(0o1777)
        return store

    def grow(self, path):
        try:
            as_user(ATTACKER, lambda: grow(path, HUGE))
        except OSError as error:
            m.skip(f"the file system of {path} has no files of 8 TiB: {error}")

    def others_go_on(self, store):
        """What another user deletes is given back."""
        file = store.path / "other"
        before = store.status()["charged_bytes"]
        as_user(OTHER, lambda: write(file, b"o" * (32 * MIB)))
        self.assertGreaterEqual(store.status()["charged_bytes"], before + 32 * MIB)
        as_user(OTHER, lambda: os.unlink(file))
        m.wait_until(lambda: store.status()["dead_bytes"] == 0, 5, "reclaim of another user's bytes")

    def ends_soon(self, store):
        began = time.monotonic()
        self.ended_well(store)
        self.assertLess(time.monotonic() - began, ENDS)

    def segments(self, store):
        return list((store.store / "segments").glob("*.private"))

    def test_a_size_that_costs_nothing(self):
        store = self.start()
        file = store.path / "huge"
        self.grow(file)
        time.sleep(CHECKSUM_DELAY + 2)
        self.others_go_on(store)
        done = m.spillfs("scrub", store.path, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('"files_without_sums":1', done.stdout)
        self.ends_soon(store)

    def test_its_removal(self):
        store = self.start()
        file = store.path / "huge"
        self.grow(file)
        time.sleep(CHECKSUM_DELAY + 2)
        as_user(ATTACKER, lambda: os.unlink(file))
        m.wait_until(lambda: not self.segments(store), 5, "the end of its segment")
        self.ends_soon(store)

    def test_bytes_that_take_long(self):
        store = self.start("checksum_rate=1MiB,pool=0")
        file = store.path / "large"
        as_user(ATTACKER, lambda: write(file, b"l" * (300 * MIB)))
        as_user(ATTACKER, lambda: change_a_byte(file))
        m.wait_until(lambda: store.status()["files_waiting_for_sums"] == 1, 5, "it waits")
        m.wait_until(lambda: store.status()["files_waiting_for_sums"] == 0, 20, "its sums begin")
        self.others_go_on(store)
        as_user(ATTACKER, lambda: os.unlink(file))
        m.wait_until(lambda: not self.segments(store), 10, "the end of its segment")
        self.assertEqual(store.status()["dead_bytes"], 0)
        as_user(ATTACKER, lambda: write(file, b"l" * (300 * MIB)))
        as_user(ATTACKER, lambda: change_a_byte(file))
        m.wait_until(lambda: store.status()["files_waiting_for_sums"] == 1, 5, "it waits")
        m.wait_until(lambda: store.status()["files_waiting_for_sums"] == 0, 20, "its sums begin")
        self.ends_soon(store)

    def test_a_mount_after_a_loss_of_power(self):
        store = self.start("without=passthrough")  # all but one have sums
        self.grow(store.path / "huge")
        for i in range(3):
            as_user(ATTACKER, lambda i=i: write(store.path / f"large {i}", b"l" * (200 * MIB)))
        as_user(OTHER, lambda: write(store.path / "small", b"small"))
        store.kill()
        subprocess.run(["umount", "-l", store.path], check=False)
        # The files are whole, but the mount does not know it before it has read them.
        store.options = "without=passthrough,checksum_rate=1MiB,boot=new"
        store.log_lines_allowed = ("is gone: the power went",)
        store.mount()
        openers = [subprocess.Popen(["setpriv", f"--reuid={ATTACKER}", "--clear-groups", "cat",
                                     store.path / f"large {i}"], stdout=subprocess.DEVNULL)
                   for i in range(3)]
        small = as_user(OTHER, lambda: (store.path / "small").read_bytes())
        self.assertEqual(small, b"small")
        self.others_go_on(store)
        for opener in openers:  # they are told to wait, and then they get it
            self.assertEqual(opener.wait(60), 0)
        self.assertFalse((store.path / "huge").exists())  # without sums nothing proves it
        self.ends_soon(store)


if __name__ == "__main__":
    unittest.main(verbosity=2)
