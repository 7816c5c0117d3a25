# SPDX-License-Identifier: Apache-2.0
"""The requests that the kernel sends for common patterns. A program waits for each of them, so one
more is a loss of speed; RELEASE and FORGET, for which nobody waits, are not counted."""
import contextlib
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m
from support.users import as_user

m.need_fuse()
m.limit_time(120)
NOBODY_WAITS = ("RELEASE", "RELEASEDIR", "FORGET", "BATCH_FORGET", "INTERRUPT")
DATA = os.urandom(4096)
CREATE = {"GETATTR": 1, "LOOKUP": 1, "CREATE": 1, "WRITE": 1, "FLUSH": 1}


def write(path, data=DATA, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
    fd = os.open(path, flags, 0o644)
    os.write(fd, data)
    os.close(fd)


def read(path, size=len(DATA)):
    fd = os.open(path, os.O_RDONLY)
    data = os.read(fd, size)
    os.close(fd)
    return data


class RoundTrips(unittest.TestCase):
    def setUp(self):
        self.store = self.enterContext(m.mounted())
        # Not in the root: the way to the counters would find its attributes outdated.
        self.folder = self.store.path / "folder"
        self.folder.mkdir()
        os.stat(self.folder)

    def path(self, name="file"):
        return str(self.folder / name)

    def counts(self):
        status = json.loads((self.store.path / ".spillfs/status").read_text())
        return {name: count for name, count in status["requests"].items()
                if name not in NOBODY_WAITS}

    @contextlib.contextmanager
    def costs(self, **expected):
        self.counts()
        before = self.counts()
        yield
        after = self.counts()
        sent = {name: count - before.get(name, 0) for name, count in after.items()
                if count != before.get(name, 0)}
        self.assertEqual(sent, expected)

    def test_reading_the_counters_is_not_counted(self):
        with self.costs():
            self.counts()
            os.listdir(self.store.path / ".spillfs")
            os.stat(self.store.path / ".spillfs/config")
        shown = json.loads(m.spillfs("status", self.store.path, "--json").stdout)
        self.assertEqual(shown["requests"]["MKDIR"], 1)
        self.assertNotIn("SYMLINK", shown["requests"])

    def test_create_write_close(self):
        write(self.path("before"))
        with self.costs(**CREATE):
            write(self.path(), flags=os.O_WRONLY | os.O_CREAT | os.O_EXCL)

    def test_several_writes(self):
        with self.costs(LOOKUP=1, CREATE=1, WRITE=10, FLUSH=1):
            fd = os.open(self.path(), os.O_WRONLY | os.O_CREAT, 0o644)
            for _ in range(10):
                os.write(fd, DATA)
            os.close(fd)

    def test_unlink(self):
        write(self.path())
        with self.costs(GETATTR=1, UNLINK=1):
            os.unlink(self.path())

    def test_open_read_close(self):
        write(self.path())
        os.stat(self.folder)
        with self.costs(OPEN=1, READ=1):
            self.assertEqual(read(self.path()), DATA)
        with self.costs(OPEN=1):  # the pages are still there
            self.assertEqual(read(self.path()), DATA)

    def test_read_to_the_end(self):
        """The kernel asks for the size once after a write, to know where the end is."""
        write(self.path())
        os.stat(self.folder)
        with self.costs(OPEN=1, GETATTR=1, READ=1):
            self.assertEqual(read(self.path(), 1 << 20), DATA)
        with self.costs(OPEN=1):
            self.assertEqual(read(self.path(), 1 << 20), DATA)

    def test_a_duplicate_of_a_reader_is_closed(self):
        write(self.path())
        fd = os.open(self.path(), os.O_RDONLY)
        with self.costs():
            os.close(os.dup(fd))
            os.close(fd)

    def test_every_close_of_what_may_write_reports_errors(self):
        write(self.path())
        os.stat(self.folder)
        for flags in (os.O_WRONLY, os.O_RDWR):
            with self.costs(OPEN=1, FLUSH=2):
                fd = os.open(self.path(), flags)
                os.close(os.dup(fd))
                os.close(fd)

    def test_overwrite(self):
        """At every O_TRUNC of an existing file the kernel looks for security.capability."""
        write(self.path())
        os.stat(self.folder)
        with self.costs(OPEN=1, GETXATTR=1, WRITE=1, FLUSH=1):
            write(self.path())

    def test_a_new_file_that_replaces_one(self):
        write(self.path())
        with self.costs(**CREATE | {"GETATTR": 2, "LOOKUP": 2, "RENAME": 1}):
            write(self.path("new"))
            os.replace(self.path("new"), self.path())

    def test_stat(self):
        write(self.path())
        os.stat(self.path())
        with self.costs():
            os.stat(self.path())

    def test_others_than_the_owner_ask_for_acls(self):
        """Once of each directory, but of the root on each way through it: its inode is older than the
        answer to INIT, and the kernel keeps no ACL with such a one."""
        write(self.path())
        os.chmod(self.folder, 0o755)

        def stat_all():
            for _ in range(20):
                os.stat(self.path())
        as_user(4001, lambda: os.stat(self.path()))
        self.counts()
        before = self.counts()
        as_user(4001, stat_all)
        after = self.counts()
        sent = {name: count - before.get(name, 0) for name, count in after.items()
                if count != before.get(name, 0)}
        self.assertLessEqual(sent.pop("GETXATTR", 0), 20, "the root's alone")
        self.assertEqual(sent, {})

        def stat_below():
            folder = os.open(self.folder, os.O_PATH)
            before = self.counts().get("GETXATTR", 0)
            for _ in range(20):
                os.stat("file", dir_fd=folder)
            return self.counts().get("GETXATTR", 0) - before
        self.assertLessEqual(as_user(4001, stat_below), 3, "those of the counters")

    def test_a_name_that_is_not_there(self):
        with self.costs(LOOKUP=1):
            for _ in range(3):
                self.assertFalse(os.path.exists(self.path()))

    def test_listing_with_attributes(self):
        """As ls -l: each entry's attributes while the directory is read."""
        names = [f"f{n}" for n in range(1000)]
        for name in names:
            write(self.path(name))
        self.store.umount()
        self.store.mount()
        os.stat(self.folder)
        self.counts()
        before = self.counts()
        listed = {entry.name: entry.stat().st_size for entry in os.scandir(self.folder)}
        after = self.counts()
        self.assertEqual(listed, {name: len(DATA) for name in names})
        self.assertEqual(after.get("LOOKUP", 0), before.get("LOOKUP", 0), after)
        self.assertEqual(after.get("GETATTR", 0), before.get("GETATTR", 0), after)
        with self.costs():
            for name in names:
                os.stat(self.path(name))

    def test_unnamed_file(self):
        with self.costs(TMPFILE=1, FLUSH=1):
            os.close(os.open(self.folder, os.O_TMPFILE | os.O_WRONLY, 0o644))


if __name__ == "__main__":
    unittest.main(verbosity=2)
