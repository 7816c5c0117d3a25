# SPDX-License-Identifier: Apache-2.0
"""A mount does what a directory of ext4 does, in all that users reported of other file systems.

Each try (tests/mount/tries) is run in a directory and on a mount beside it, by root in a process of
its own. All that it saw has to be equal, errno included; what is otherwise by design is entered
with it, and in docs/SEMANTICS.md. `like_a_directory_test.py LikeADirectory.test_NAME` runs one.
"""

import functools
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m
from support.users import as_user
from tries import (
    attributes,
    contents,
    holes,
    kinds,
    listings,
    locks,
    mappings,
    names,
    programs,
    xattrs,
)
from tries.table import TABLE

m.need_fuse()
m.limit_time(100)
ENTERED = (attributes, contents, holes, kinds, listings, locks, mappings, names, programs, xattrs)


def outcome(one, top):
    """What a try sees in an empty directory."""
    top.mkdir()
    os.umask(0o022)
    return as_user(0, functools.partial(one.call, top))


class LikeADirectory(unittest.TestCase):
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        root = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-"))
        kind = subprocess.run(
            ["stat", "-f", "-c", "%T", root], capture_output=True, text=True, check=True
        ).stdout.strip()
        if kind != "ext2/ext3":
            root.rmdir()
            m.skip(f"needs ext4 to compare with; {root.parent} is {kind}")
        cls.bare = root / "bare"
        cls.store = m.Mounted(directory=root).mount()
        cls.addClassCleanup(cls.store.close)
        cls.bare.mkdir()

    @classmethod
    def tearDownClass(cls):
        cls.store.umount()
        cls.store.check()
        cls.store.check_log()

    def compare(self, one):
        seen = {}

        def see(where, top):
            seen[where] = outcome(one, top / one.name)

        threads = [
            threading.Thread(target=see, args=place)
            for place in (("bare", self.bare), ("mount", self.store.path))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertIn("bare", seen, one.source)
        self.assertIn("mount", seen, one.source)
        for label, expected in one.differs.items():
            self.assertNotEqual(seen["bare"][label], expected, "is this still a difference?")
            seen["bare"][label] = expected
        self.assertEqual(seen["mount"].keys(), seen["bare"].keys())
        for label, expected in seen["bare"].items():
            with self.subTest(label, source=one.source):
                self.assertEqual(seen["mount"][label], expected)


def test_of(one):
    return lambda case: case.compare(one)


for entered in TABLE:
    setattr(LikeADirectory, f"test_{entered.name}", test_of(entered))

if __name__ == "__main__":
    unittest.main()
