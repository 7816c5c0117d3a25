# SPDX-License-Identifier: Apache-2.0
"""Who lives, and whether the machine was booted, however a container looks at it: what it hides or
shifts (boot id, clock, process numbers, mounts) takes no living runtime's files, and none that was
closed."""
import contextlib
import os
import pathlib
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import cases, container, machine
from support import mounted as m

m.need_fuse()
machine.own_mounts()
m.limit_time(100)

NODE = "ray_spilled_objects_" + "ab" * 28
FILE = "c" * 32 + "-multi-1"
SIZE = 6_000_000
REFUSED = "another view of the machine"


class Raylet:
    """A runtime that lives, and has spilled a file into `folder`."""

    def __init__(self, folder):
        ready, tell = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            with contextlib.suppress(BaseException):
                cases.call_myself("raylet")
                (folder / NODE).mkdir()
                (folder / NODE / FILE).write_bytes(b"x" * SIZE)
                os.write(tell, b"+")
                signal.pause()
            os._exit(1)
        os.close(tell)
        with os.fdopen(ready, "rb") as said:
            assert said.read(1) == b"+", "it does not run"

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class Gone(cases.OnStores):
    def runtime(self, options=""):
        store = self.mounted(options)
        raylet = Raylet(store.path)
        self.addCleanup(raylet.end)
        return store

    def lives(self, store):
        self.assertEqual((store.path / NODE / FILE).stat().st_size, SIZE, "of a living runtime")

    def refused(self, store, done):
        self.lives(store)
        self.assertEqual(done.returncode, 6, done.stdout + done.stderr)
        self.assertIn(REFUSED, done.stderr)

    def reap(self, store, **namespaces):
        return container.run(m.PROGRAM, "reap", store.path, "--older-than", "0s", **namespaces)

    def test_reap_where_the_boot_id_is_hidden(self):
        store = self.runtime()
        hidden = store.root / "boot_id"
        hidden.write_text(container.ANOTHER_BOOT + "\n")
        self.refused(store, self.reap(store, bound=[(hidden, container.BOOT_ID)]))
        # Where it is hidden from the daemon's own namespaces nothing is told by it.
        with container.another_boot_id(store.root):
            done = m.spillfs("reap", store.path, "--older-than", "0s")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.lives(store)
        self.ended_well(store)

    def test_reap_where_the_clock_is_shifted(self):
        store = self.runtime()
        self.refused(store, self.reap(store, boottime=100_000))
        self.ended_well(store)

    def test_reap_among_other_processes(self):
        store = self.runtime()
        self.refused(store, self.reap(store, pids=True))
        self.ended_well(store)

    def test_reap_in_a_container(self):
        store = self.runtime()
        nspawn = container.Nspawn()
        try:
            program = pathlib.Path(m.PROGRAM).resolve()
            done = nspawn.run(program, "reap", store.path, "--older-than", "0s",
                              bound=[store.path, program.parent])
            self.refused(store, done)
        finally:
            nspawn.close()
        self.ended_well(store)

    def test_a_daemon_that_comes_to_see_another_boot_id(self):
        """What the one before it wrote down of a runtime that lives stays true."""
        store = self.runtime("reap=1s")
        store.umount()
        with container.another_boot_id(store.root):
            store.mount()
            done = m.spillfs("reap", store.path, "--older-than", "0s")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.lives(store)
            store.umount()
        store.check()

    def write_in_place(self, path, size=1 << 20):
        """Without sums, which are made some seconds later."""
        with cases.opened(path, os.O_RDWR | os.O_CREAT) as file:
            os.truncate(file, size)
            os.pwrite(file, b"y" * 4096, size // 2)

    def whole(self, store, name):
        self.assertEqual((store.path / name).stat().st_size, 1 << 20, "a closed file")
        with open(store.path / name, "rb") as file:
            file.seek(1 << 19)
            self.assertEqual(file.read(4096), b"y" * 4096)

    def remount(self, store):
        """After the end of every process, but not of the machine."""
        store.kill()
        store.mount()

    def test_closed_files_survive_another_boot_id(self):
        store = self.mounted("")
        (store.path / "first").write_bytes(b"1")
        self.write_in_place(store.path / "a")
        with container.another_boot_id(store.root):
            self.remount(store)
            self.whole(store, "a")
            self.write_in_place(store.path / "b")
        self.remount(store)
        self.whole(store, "b")
        self.assertEqual((store.path / "first").read_bytes(), b"1")
        self.assertNotIn("is gone: the power went", store.log())
        self.ended_well(store)

    def test_the_option_says_what_happened(self):
        store = self.mounted("")
        self.write_in_place(store.path / "a")
        store.options = "boot=new"
        self.remount(store)
        with self.assertRaises(FileNotFoundError, msg="it has no sums"):
            self.whole(store, "a")
        self.write_in_place(store.path / "b")
        store.options = "boot=same"
        self.remount(store)
        self.whole(store, "b")
        self.ended_well(store)


if __name__ == "__main__":
    unittest.main(verbosity=2)
