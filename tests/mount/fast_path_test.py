# SPDX-License-Identifier: Apache-2.0
"""user.spill.url: the store's owner reads a small file from its segment, past the mount. An open
descriptor stays good through compaction and delete; the xattr is read again after opening."""
import mmap
import os
import sys
import time
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m

m.need_fuse()
m.limit_time(120)
SIZE = 20_000


def url_of(path):
    return os.getxattr(path, "user.spill.url").decode()


def parse(url):
    query = urllib.parse.parse_qs(url.split("?")[1])
    return url.split("?")[0], int(query["offset"][0]), int(query["size"][0])


def open_segment(path):
    """(descriptor, offset of the buffer): what a reader of its own does."""
    while True:
        url = url_of(path)
        segment, offset, _ = parse(url)
        try:
            fd = os.open(segment, os.O_RDONLY)
        except FileNotFoundError:
            continue  # moved in between
        if url_of(path) == url:
            lengths = [int.from_bytes(os.pread(fd, 8, offset + 8 * i), "little") for i in range(3)]
            return fd, offset + 24 + lengths[0] + lengths[1]
        os.close(fd)


class FastPath(unittest.TestCase):
    def setUp(self):
        self.store = m.Mounted("segment_size=1MiB")
        self.addCleanup(self.store.close)
        self.store.mount()
        self.data = {f"f{n}": os.urandom(SIZE) for n in range(200)}
        for name, data in self.data.items():
            with open(self.path(name), "wb") as file:
                file.write(data)

    def path(self, name):
        return str(self.store.path / name)

    def test_reads_past_the_mount(self):
        for name, data in self.data.items():
            fd, offset = open_segment(self.path(name))
            self.assertEqual(os.pread(fd, SIZE, offset), data)
            with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as segment:
                self.assertEqual(segment[offset:offset + SIZE], data)
            os.close(fd)

    def test_a_descriptor_outlives_compaction_and_delete(self):
        kept, gone = [f"f{n}" for n in range(0, 40, 10)], "f1"
        before = {name: (url_of(self.path(name)), *open_segment(self.path(name)))
                  for name in (*kept, gone)}
        for name in self.data:
            if name not in kept:
                os.unlink(self.path(name))
        m.wait_until(lambda: all(url_of(self.path(name)) != before[name][0] for name in kept), 20,
                     "what is left is compacted")
        segments = {parse(url)[0] for url, _, _ in before.values()}
        m.wait_until(lambda: not any(map(os.path.exists, segments)), 20, "the old segments go")
        for name, (_, fd, offset) in before.items():
            self.assertEqual(os.pread(fd, SIZE, offset), self.data[name], name)
            os.close(fd)
        for name in kept:
            fd, offset = open_segment(self.path(name))
            self.assertEqual(os.pread(fd, SIZE, offset), self.data[name])
            os.close(fd)

    def test_a_reader_while_files_move(self):
        """Writers fill and delete; a reader finds each file's bytes wherever they are now."""
        end = time.monotonic() + 5
        turn = 0
        while time.monotonic() < end:
            for name in [n for i, n in enumerate(self.data) if (i + turn) % 3]:
                with open(self.path(name), "wb") as file:
                    file.write(self.data[name])
            turn += 1
            for name, data in list(self.data.items())[turn % 7::7]:
                fd, offset = open_segment(self.path(name))
                self.assertEqual(os.pread(fd, SIZE, offset), data, name)
                os.close(fd)


if __name__ == "__main__":
    unittest.main(verbosity=2)
