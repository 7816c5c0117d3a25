# SPDX-License-Identifier: Apache-2.0
"""The option durability: what is synced when, as the status counts it. What holds after a loss of
power the model test says."""
import concurrent.futures
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m

m.need_fuse()
m.limit_time(120)


class Durability(unittest.TestCase):
    def mount(self, options):
        store = self.enterContext(m.mounted(options))
        name, value = options.split("=", 1)
        self.assertIn(f'{name} = "{value}"', (store.path / ".spillfs/config").read_text())
        return store

    def status(self, store):
        return json.loads((store.path / ".spillfs/status").read_text())

    def test_process(self):
        store = self.mount("durability=process")
        with open(store.path / "file", "wb") as file:
            file.write(b"bytes")
        self.assertEqual(self.status(store)["sync_requests"], 0)
        self.assertTrue(self.status(store)["unsynced"])
        with open(store.path / "file", "rb") as file:
            os.fsync(file.fileno())
        self.assertEqual(self.status(store)["sync_requests"], 1)
        folder = os.open(store.path, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        self.assertEqual(self.status(store)["sync_requests"], 2)

    def test_closes_are_synced_together(self):
        store = self.mount("durability=fsync")
        files, threads = 40, 8

        def spill(thread):
            folder = store.path / str(thread)
            folder.mkdir()
            for i in range(files):
                (folder / "tmp").write_bytes(b"%d %d" % (thread, i) * (1 + i * 1000))
                os.rename(folder / "tmp", folder / str(i))

        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            list(pool.map(spill, range(threads)))
        status = self.status(store)
        self.assertEqual(status["sync_requests"], threads * (1 + files * 2))
        self.assertLess(status["sync_groups"], status["sync_requests"])
        for thread in range(threads):
            for i in range(files):
                self.assertEqual((store.path / str(thread) / str(i)).read_bytes(),
                                 b"%d %d" % (thread, i) * (1 + i * 1000))
            os.unlink(store.path / str(thread) / "0")
        self.assertEqual(self.status(store)["sync_requests"], status["sync_requests"] + threads)
        with open(store.path / "0/1", "rb") as file:
            file.read()
        self.assertEqual(self.status(store)["sync_requests"], status["sync_requests"] + threads)

    def test_everything_is_synced_by_and_by(self):
        store = self.mount("durability=interval=0.2s")
        (store.path / "file").write_bytes(b"bytes" * 2_000_000)
        m.wait_until(lambda: not self.status(store)["unsynced"], 30, "a sync of everything")
        self.assertEqual(self.status(store)["sync_requests"], 0)

    def test_unknown_modes_are_refused(self):
        for mode in ("fsnyc", "interval", "interval=0", "interval=x", ""):
            store = m.Mounted()
            self.addCleanup(store.close)
            done = m.spillfs("mount", store.store, store.path, "-o", f"durability={mode}")
            self.assertEqual(done.returncode, 2, mode)
            self.assertIn("durability", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
