# SPDX-License-Identifier: Apache-2.0
"""The same short pass over what depends on how the kernel does a file's I/O, in every mode: with all
that the kernel can do, without each of it, without all; large files written past the page cache and
through it."""
import errno
import fcntl
import json
import mmap
import os
import pathlib
import re
import select
import signal
import sys
import tempfile
import time
import traceback
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m
from support.cases import opened
from support.system_calls import fallocate

m.need_fuse()
m.limit_time(280)
MIB = 1 << 20
LARGE = 9 * MIB + 5
DATA = os.urandom(LARGE + 4096)
NEW = os.O_CREAT | os.O_EXCL


def kernel_features():
    """(on, off): names, as the program sees this kernel."""
    found = re.search(r"on: (.*), off: (.*)", m.spillfs("--version").stdout)
    return tuple(set(part.split()) - {"none"} for part in found.groups())


ON, OFF = kernel_features()


def elsewhere(call):
    """Calls in another process; fails as that fails."""
    child = os.fork()
    if child == 0:
        try:
            call()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0, "the other process failed"


def expect_bytes(path, data):
    with open(path, "rb") as file:
        found = file.read()
    assert len(found) == len(data), f"{path} has {len(found)} bytes of {len(data)}"
    assert found == data, f"{path} has other bytes at {first_difference(found, data)}"


def first_difference(one, two):
    return next(at for at, (a, b) in enumerate(zip(one, two)) if a != b)


class InMode:
    """What every mode has to do; a subclass says which it is."""
    options = ""

    @classmethod
    def setUpClass(cls):
        cls.store = m.Mounted(cls.options)
        cls.addClassCleanup(cls.store.close)
        cls.store.mount()

    @classmethod
    def tearDownClass(cls):
        cls.store.umount()
        cls.store.check()
        cls.store.check_log()

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(dir=self.store.path))

    def make(self, name, data=DATA[:LARGE]):
        (self.dir / name).write_bytes(data)
        return self.dir / name

    def test_status_names_the_features(self):
        status = json.loads((self.store.path / ".spillfs/status").read_text())
        found = re.search(r"on: (.*), off: (.*)", status["kernel"])
        without = re.search(r"without=([^,]*)", self.options)
        left_out = set(without[1].split(":")) - {"none"} if without else set()
        expected = set() if "all" in left_out else ON - left_out
        self.assertEqual(set(found[1].split()) - {"none"}, expected)

    def test_shared_mapping(self):
        path = self.make("file")
        data = bytearray(DATA[:LARGE])
        with opened(path, os.O_RDWR) as fd, mmap.mmap(fd, LARGE) as memory:
            for at in (0, 4095, MIB - 2, LARGE - 5):
                memory[at:at + 5] = data[at:at + 5] = b"MAPPD"
            elsewhere(lambda: expect_bytes(path, data))

            def map_too():
                with opened(path, os.O_RDWR) as other, mmap.mmap(other, LARGE) as theirs:
                    assert theirs[4095:4100] == b"MAPPD"
                    theirs[5 * MIB:5 * MIB + 5] = b"OTHER"
            elsewhere(map_too)
            data[5 * MIB:5 * MIB + 5] = b"OTHER"
            self.assertEqual(memory[5 * MIB:5 * MIB + 5], b"OTHER")
            self.assertEqual(os.pread(fd, 5, 5 * MIB), b"OTHER")
            os.pwrite(fd, b"BYFD", 6 * MIB - 2)
            data[6 * MIB - 2:6 * MIB + 2] = b"BYFD"
            self.assertEqual(memory[6 * MIB - 2:6 * MIB + 2], b"BYFD")
        elsewhere(lambda: expect_bytes(path, data))

    def test_rewriting_in_place(self):
        for size in (20_000, LARGE):
            data = bytearray(DATA[:size])
            path = self.make(f"file{size}", data)
            with opened(path, os.O_RDWR) as fd:
                for at in (0, 4095, size // 2, size - 3, size + 10_000):
                    self.assertEqual(os.pwrite(fd, b"changed", at), 7)
                    data.extend(bytes(max(0, at + 7 - len(data))))
                    data[at:at + 7] = b"changed"
                    self.assertEqual(os.pread(fd, 7, at), b"changed")
                elsewhere(lambda p=path, d=data: expect_bytes(p, d))
                os.ftruncate(fd, size // 3)
                os.pwrite(fd, b"behind", size // 2)
                data = data[:size // 3] + bytes(size // 2 - size // 3) + b"behind"
            elsewhere(lambda p=path, d=data: expect_bytes(p, d))

    def test_o_direct(self):
        for number, access in enumerate((os.O_RDWR, os.O_WRONLY)):
            path = self.dir / f"file{number}"
            data = bytearray(6 * MIB)
            with mmap.mmap(-1, MIB) as buffer, opened(path, access | NEW | os.O_DIRECT) as fd:
                for turn, at in enumerate((0, 3 * MIB, 5 * MIB, MIB, 3 * MIB + 4096)):
                    buffer[:] = DATA[turn:turn + MIB]
                    count = MIB if at + MIB <= len(data) else len(data) - at
                    self.assertEqual(os.pwritev(fd, [memoryview(buffer)[:count]], at), count)
                    data[at:at + count] = DATA[turn:turn + count]
                if access == os.O_RDWR:
                    self.assertEqual(os.preadv(fd, [buffer], 3 * MIB), MIB)
                    self.assertEqual(buffer[:], bytes(data[3 * MIB:4 * MIB]))
                elsewhere(lambda p=path, d=data: expect_bytes(p, d))
            expect_bytes(path, data)

    def test_append(self):
        path = self.dir / "file"
        data = b""
        for turn in range(6):
            with open(path, "ab", buffering=0) as file:
                for size in (10_000, MIB + 1, 700_000):
                    piece = DATA[turn:turn + size]
                    self.assertEqual(file.write(piece), size)
                    data += piece
            elsewhere(lambda d=data: expect_bytes(path, d))

    def test_reading_while_another_writes(self):
        path = self.dir / "file"
        with opened(path, os.O_WRONLY | NEW) as writer, opened(path, os.O_RDONLY) as reader:
            for at in range(0, LARGE, 900_001):
                piece = DATA[at:min(at + 900_001, LARGE)]
                self.assertEqual(os.write(writer, piece), len(piece))
                self.assertEqual(os.fstat(reader).st_size, at + len(piece))
                self.assertEqual(os.pread(reader, len(piece) + 1, at), piece)
                elsewhere(lambda end=at + len(piece): expect_bytes(path, DATA[:end]))
            os.pwrite(writer, b"again", 1000)
            self.assertEqual(os.pread(reader, 7, 999), DATA[999:1000] + b"again" + DATA[1005:1006])
        expect_bytes(path, DATA[:1000] + b"again" + DATA[1005:LARGE])

    def test_duplicates_closed_in_the_middle(self):
        for size in (3000, 900_000):
            path = self.dir / f"file{size}"
            data = b""
            with opened(path, os.O_WRONLY | NEW) as fd:
                for turn in range(12):
                    piece = DATA[turn:turn + size]
                    self.assertEqual(os.write(fd, piece), size)
                    data += piece
                    os.close(os.dup(fd))
                    elsewhere(lambda p=path, d=data: expect_bytes(p, d))
                    if turn % 4 == 3:
                        os.fsync(fd)

    def test_plasmas_fallback(self):
        path, size = self.dir / "plasma", 7 * MIB + 8
        with opened(path, os.O_RDWR | NEW) as fd:
            os.unlink(path)
            os.ftruncate(fd, size)
            fallocate(fd, 0, 0, size)
            with mmap.mmap(fd, size) as memory:
                self.assertEqual(memory[:], bytes(size))
                memory[:MIB] = DATA[:MIB]

                def worker():
                    with mmap.mmap(fd, size) as theirs:
                        assert theirs[:MIB] == DATA[:MIB]
                        theirs[4 * MIB:5 * MIB] = DATA[1:MIB + 1]
                elsewhere(worker)
                self.assertEqual(memory[4 * MIB:5 * MIB], DATA[1:MIB + 1])
                memory.flush()
                self.assertEqual(os.pread(fd, MIB, 4 * MIB), DATA[1:MIB + 1])
                self.assertEqual(os.fstat(fd).st_size, size)

    def test_mappings_outlive_their_files(self):
        """Others come and go: neither side sees the other's bytes."""
        before = self.private_segments()
        maps = []
        for number in range(2):
            path = self.make(f"mapped{number}", DATA[:4 * MIB])
            with opened(path, os.O_RDWR) as fd:
                maps.append((mmap.mmap(fd, 4 * MIB), bytearray(DATA[:4 * MIB])))
            with opened(path, os.O_RDONLY) as fd:
                maps.append((mmap.mmap(fd, 4 * MIB, prot=mmap.PROT_READ), maps[-1][1]))
            os.unlink(path)
        for turn in range(12):
            for memory, data in maps[::2]:
                memory[turn * 300_000:turn * 300_000 + 9] = b"not yours"
                data[turn * 300_000:turn * 300_000 + 9] = b"not yours"
            other = self.make("other", DATA[turn:turn + 5 * MIB])
            time.sleep(0.05)  # for reclaim
            expect_bytes(other, DATA[turn:turn + 5 * MIB])
            with opened(other, os.O_RDWR) as fd:
                os.pwrite(fd, b"o" * MIB, MIB)
            os.unlink(other)
        for memory, data in maps:
            self.assertTrue(memory[:] == data, "a mapping has other bytes")
        for memory, _ in maps:
            memory.close()
        m.wait_until(lambda: self.private_segments() <= before, 10, "reclaim")

    def private_segments(self):
        return len(list((self.store.store / "segments").glob("*.private")))

    def test_flock(self):
        path = self.make("file", b"x")

        def refused():
            with opened(path, os.O_RDWR) as fd:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    assert error.errno == errno.EAGAIN
                    return
                raise AssertionError("locked twice")
        with opened(path, os.O_RDWR) as fd:
            fcntl.flock(fd, fcntl.LOCK_EX)
            elsewhere(refused)

    def test_stat_from_elsewhere(self):
        for access in (os.O_WRONLY, os.O_RDWR):
            path = self.dir / f"file{access}"
            with opened(path, access | NEW) as fd:
                before = os.stat(path).st_mtime_ns
                for size in (1000, 2 * MIB, 6 * MIB):
                    time.sleep(0.02)  # more than the kernel's clock tick
                    os.pwrite(fd, DATA[:size], 0)

                    def look(expected=size, last=before):
                        found = os.stat(path)
                        assert found.st_size == expected, found
                        assert found.st_mtime_ns > last, "mtime stands still"
                        with os.scandir(self.dir) as entries:
                            sizes = {entry.name: entry.stat().st_size for entry in entries}
                        assert sizes[path.name] == expected, sizes
                    elsewhere(look)
                    before = os.stat(path).st_mtime_ns
                os.utime(path, ns=(1_000_000_001, 2_000_000_002))
                self.assertEqual(os.stat(path).st_mtime_ns, 2_000_000_002)
            self.assertEqual(os.stat(path).st_mtime_ns, 2_000_000_002, "as it was set")
            self.assertEqual(os.stat(path).st_size, 6 * MIB)
            self.assertGreaterEqual(os.stat(path).st_blocks * 512, 6 * MIB)


class Passthrough(unittest.TestCase):
    def setUp(self):
        if "passthrough" not in ON:
            print("SKIP: this kernel has no passthrough, or we are not root", flush=True)
            self.skipTest("no passthrough")

    def test_the_kernel_does_it_alone(self):
        with m.mounted() as store:
            path = store.path / "file"
            path.write_bytes(DATA)
            with opened(path, os.O_RDWR) as fd:
                os.pwrite(fd, DATA[:1], 0)  # the first write asks for security.capability
                worker = store.worker()
                results, result = os.pipe()
                child = os.fork()
                if child == 0:
                    os.kill(worker, signal.SIGSTOP)
                    good = os.pread(fd, MIB, 4 * MIB) == DATA[4 * MIB:5 * MIB]
                    os.pwrite(fd, b"alone", LARGE)
                    good = good and os.pread(fd, 5, LARGE) == b"alone"
                    os.write(result, b"good" if good else b"bad")
                    os._exit(0)  # its close asks the worker
                ready = select.select([results], [], [], 20)[0]
                os.kill(worker, signal.SIGCONT)
                os.waitpid(child, 0)
                self.assertTrue(ready, "it waits for the daemon")
                self.assertEqual(os.read(results, 4), b"good")
                os.close(results)
                os.close(result)
            expect_bytes(path, DATA[:LARGE] + b"alone" + DATA[LARGE + 5:])

    def test_a_writer_up_to_the_quota(self):
        """Its bytes come through the daemon, also beside a reader's that do not."""
        with m.mounted("quota=64MiB,space_wait=1s") as store:
            (store.path / "other").write_bytes(DATA)
            (store.path / "grows").write_bytes(DATA)
            with opened(store.path / "grows", os.O_RDONLY) as reader, \
                    opened(store.path / "grows", os.O_RDWR) as fd:
                with self.assertRaises(OSError) as caught:
                    for at in range(80):
                        os.pwrite(fd, DATA[:MIB], at * MIB)
                self.assertEqual(caught.exception.errno, errno.ENOSPC)
                self.assertEqual(os.pread(reader, MIB, 20 * MIB), DATA[:MIB])
                with mmap.mmap(fd, MIB) as mapping:
                    mapping[:5] = b"first"
                self.assertEqual(os.pread(reader, 5, 0), b"first")
                self.assertEqual(os.pread(fd, 5, 0), b"first")
                with self.assertRaises(OSError) as caught:
                    (store.path / "new").write_bytes(DATA)
                self.assertEqual(caught.exception.errno, errno.ENOSPC)
                expect_bytes(store.path / "other", DATA)
                os.ftruncate(fd, 20 * MIB)
            m.wait_until(lambda: m.free_bytes(store.path) > 30 * MIB, 10, "free space")
            (store.path / "new").write_bytes(DATA)
            expect_bytes(store.path / "new", DATA)


def load_tests(loader, _tests, _pattern):
    modes = ["without=none", *(f"without={name}" for name in sorted(ON)), "without=all",
             "write=direct", "write=cached", "write=direct,without=passthrough",
             "write=direct,without=all"]
    suite = loader.loadTestsFromTestCase(Passthrough)
    for mode in modes:
        name = re.sub(r"\W", "_", mode)
        suite.addTests(loader.loadTestsFromTestCase(
            type(name, (InMode, unittest.TestCase), {"options": f"log_level=info,{mode}"})))
    return suite


if __name__ == "__main__":
    if OFF:
        print(f"this kernel does not have: {' '.join(sorted(OFF))}", flush=True)
    unittest.main(verbosity=1)
