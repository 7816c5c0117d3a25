# SPDX-License-Identifier: Apache-2.0
"""Disks that fail, are full or are stuck, and limits of the process, under a real mount: who is
concerned gets an error, the others go on, and afterwards all is well without a new mount.

SPILLFS_OPEN_FILES is how many files are open at once (4000)."""
import contextlib
import errno
import fcntl
import multiprocessing
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import cases
from support import mounted as m
from support.scrape import UnixConnection, get

m.need_fuse()
m.limit_time(140)
MIB = 1 << 20
PIECE = os.urandom(MIB)
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878  # linux/fs.h
OPEN_FILES = int(os.environ.get("SPILLFS_OPEN_FILES", "4000"))
MOST_OF_A_PROCESS = 15_000


def run(*command):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=True).stdout


def fill(path):
    """Takes every byte of the file system."""
    with open(path, "wb", buffering=0) as file:
        for size in (MIB, 4096):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


def write(path, data):
    """The errno, 0 for success."""
    try:
        path.write_bytes(data)
    except OSError as error:
        return error.errno
    return 0


def read(path):
    """The bytes, or the errno."""
    try:
        return path.read_bytes()
    except OSError as error:
        return error.errno


def in_place(number):
    """Whether this one is written in place: then the daemon has a file of its own open for it."""
    return number % 4 == 0


def content(number):
    return PIECE[number:number + (10_000 if in_place(number) else 100)]


def hold_open(folder, numbers, told):
    """Writes these files, says so, and when it is told to, reads them; all stay open meanwhile."""
    resource.setrlimit(resource.RLIMIT_NOFILE,
                       (MOST_OF_A_PROCESS + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    for number in numbers:
        flags = os.O_RDWR if in_place(number) else os.O_WRONLY
        os.write(os.open(folder / f"f{number}", os.O_CREAT | flags), content(number))
    told.send("open")
    told.recv()
    for number in numbers:
        if read(folder / f"f{number}") != content(number):
            raise AssertionError(f"f{number} is not what was written")


class Faults(cases.OnStores):
    def folder(self):
        root = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-disk-"))
        self.addCleanup(root.rmdir)
        return root

    def mount_disk(self, *what):
        root = self.folder()
        done = subprocess.run(["mount", *map(str, what), root], capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            self.skipTest(f"no disk of our own: {done.stderr}")
        self.addCleanup(subprocess.run, ["umount", "-l", root], check=True)
        return root

    def freeze(self, disk, seconds):
        """At most for so long: nothing ends that waits for a frozen disk, whatever happens here.
        What thaws it before."""
        command = ["sh", "-c", f"sleep {seconds}; fsfreeze --unfreeze {disk}"]
        timer = subprocess.Popen(command, start_new_session=True)
        # By ioctl: a child that closes its copy of a descriptor would wait for the disk, too.
        folder = os.open(disk, os.O_RDONLY | os.O_DIRECTORY)
        self.addCleanup(os.close, folder)
        fcntl.ioctl(folder, FIFREEZE, 0)

        def thaw():
            with contextlib.suppress(OSError):
                fcntl.ioctl(folder, FITHAW, 0)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(timer.pid, signal.SIGKILL)
            timer.wait()

        self.addCleanup(thaw)
        return thaw

    def loop_disk(self, mib, under):
        """An ext4 whose blocks are a file in `under`; its mountpoint and the file."""
        image = under / "image"
        self.addCleanup(image.unlink)
        with open(image, "wb") as file:
            file.truncate(mib * MIB)
        run("mkfs.ext4", "-q", "-F", "-m", "0", image)
        return self.mount_disk("-o", "loop", image), image

    def test_a_failing_data_directory(self):
        """Its files give EIO, new ones go to the other, whose files are as they were."""
        memory = self.mount_disk("-t", "tmpfs", "-o", "size=300m,mode=755", "tmpfs")
        bad, image = self.loop_disk(256, memory)
        good = self.folder()
        self.addCleanup(run, "rm", "-rf", good / "segments", good / "recycle")
        store = self.mounted(f"data={bad}:{good},without=passthrough")
        for number in range(8):
            (store.path / f"f{number}").write_bytes(PIECE * 6)
        run("sync", "-f", bad)
        lost = sum(1 for _ in (bad / "segments").glob("*.private"))
        self.assertGreater(lost, 1)
        self.assertLess(lost, 8)
        os.truncate(image, 0)
        for segment in (bad / "segments").iterdir():
            with open(segment, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        fill(memory / "hog")
        found = [read(store.path / f"f{number}") for number in range(8)]
        self.assertEqual(found.count(errno.EIO), lost)
        self.assertEqual(found.count(PIECE * 6), 8 - lost)
        # The file system notices, and takes nothing new.
        (bad / "noticed").mkdir()
        subprocess.run(["sync", "-f", bad], check=False, capture_output=True)
        before = len(list((good / "segments").glob("*.private")))
        for number in range(8):
            (store.path / f"new{number}").write_bytes(PIECE * 6)
            (store.path / f"small{number}").write_bytes(PIECE[:9000])
        for number in range(8):
            self.assertEqual((store.path / f"new{number}").read_bytes(), PIECE * 6)
            self.assertEqual((store.path / f"small{number}").read_bytes(), PIECE[:9000])
        self.assertEqual(len(list((good / "segments").glob("*.private"))), before + 8)
        self.assertIn("takes no new segments", store.log())
        store.umount()

    def test_an_index_without_space(self):
        """Changes fail, reads go on, the status says so; with room again it goes on by itself."""
        disk, _ = self.loop_disk(64, self.folder())
        data = self.folder()
        self.addCleanup(run, "rm", "-rf", data / "segments", data / "recycle")
        store = self.mounted(f"data={data}", disk)
        (store.path / "kept").write_bytes(PIECE * 6)
        self.assertTrue((store.store / "ballast").exists())
        store.log_lines_allowed = ("No space left", "takes no changes")

        fill(disk / "hog")
        with self.assertRaises(OSError) as caught:  # what is left is for changes that add nothing
            os.setxattr(store.path / "kept", "user.x", PIECE[:60_000])
        self.assertEqual(caught.exception.errno, errno.ENOSPC)
        self.assertEqual(store.status()["index"], "takes changes")

        def refused():
            fill(disk / "hog")
            try:
                for number in range(2000):
                    os.utime(store.path / "kept", (number, number))
            except OSError as error:
                self.assertEqual(error.errno, errno.ENOSPC)
                return True
            return False

        m.wait_until(refused, 30, "a change that is refused")
        self.assertRegex(store.status()["index"], "^read-only: .*[Nn]o space")
        self.assertFalse((store.store / "ballast").exists())
        self.assertEqual(write(store.path / "another", b"x"), errno.ENOSPC)
        self.assertEqual((store.path / "kept").read_bytes(), PIECE * 6)
        (disk / "hog").unlink()
        m.wait_until(lambda: store.status()["index"] == "takes changes", 20, "the index")
        (store.path / "another").write_bytes(b"x")
        self.assertEqual((store.path / "another").read_bytes(), b"x")
        m.wait_until((store.store / "ballast").exists, 10, "what is set aside for the next time")
        self.ended_well(store)

    def test_a_restart_without_space(self):
        """Not even what was set aside for it is left: clients wait until there is some."""
        disk, _ = self.loop_disk(64, self.folder())
        data = self.folder()
        self.addCleanup(run, "rm", "-rf", data / "segments", data / "recycle")
        store = self.mounted(f"data={data}", disk)
        if not store.goes_on():
            self.skipTest("this kernel can't send requests again")
        (store.path / "kept").write_bytes(PIECE * 6)
        fill(disk / "hog")
        (store.store / "ballast").unlink()
        fill(disk / "more")
        store.log_lines_allowed = ("No space left",)
        os.kill(store.worker(), signal.SIGKILL)
        room = threading.Timer(6, (disk / "hog").unlink)  # 2.5 s are for eight attempts
        room.start()
        self.assertEqual((store.path / "kept").read_bytes(), PIECE * 6)
        room.join()
        self.assertGreater(store.status()["restarts"], 8)
        (store.path / "another").write_bytes(b"x")
        self.ended_well(store)

    def test_a_stuck_disk(self):
        """What waits for it is told of while it does; then it goes on."""
        stuck, _ = self.loop_disk(128, self.folder())
        good = self.folder()
        self.addCleanup(run, "rm", "-rf", good / "segments", good / "recycle")
        store = self.mounted(f"data={stuck}:{good},without=passthrough")
        thaw = self.freeze(stuck, 60)
        results = []
        writers = [threading.Thread(target=lambda n=n: results.append(
            write(store.path / f"new{n}", PIECE * 6))) for n in range(2)]
        for writer in writers:
            writer.start()
        m.wait_until(lambda: store.status()["slow_operations"] >= 2, 10, "slow operations")
        (store.path / "meanwhile").mkdir()
        thaw()
        for writer in writers:
            writer.join(30)
        self.assertEqual(results, [0, 0])
        self.assertRegex(store.log(), r"slow: WRITE of inode \d+ takes more than 5000 ms")
        self.assertRegex(store.log(), r"slow: \w+ of \S*segments/\d+.private takes more than")
        self.ended_well(store)

    def test_no_thread_left(self):
        """The mount says over HTTP that it is not well while a disk has all of its threads."""
        stuck, _ = self.loop_disk(128, self.folder())
        socket = self.folder() / "metrics.sock"
        store = self.mounted(f"data={stuck},without=passthrough,threads=2,metrics=unix:{socket}")
        health = lambda: (get(UnixConnection(socket), "/healthz") or (None, None, ""))[::2]
        m.wait_until(lambda: get(UnixConnection(socket), "/healthz"), 10, "an answer")
        thaw = self.freeze(stuck, 120)
        results = []
        writers = [threading.Thread(target=lambda n=n: results.append(
            write(store.path / f"new{n}", PIECE * 6))) for n in range(2)]
        writers[0].start()
        m.wait_until(lambda: store.status()["slow_operations"] >= 2, 10, "slow operations")
        self.assertEqual(health(), (200, "ok\n"))
        writers[1].start()
        m.wait_until(lambda: health()[0] == 503, 10, "both threads to be late")
        self.assertRegex(health()[1], "2 requests have been under way for more than five seconds")
        thaw()
        for writer in writers:
            writer.join(30)
        self.assertEqual(results, [0, 0])
        self.assertEqual(health(), (200, "ok\n"))
        self.ended_well(store)

    def test_no_descriptors_left(self):
        store = self.mounted("fuse_limit=64KiB")
        count = 60
        for number in range(count):
            (store.path / f"f{number}").write_bytes(PIECE[: 200_000 + number])
        worker = store.worker()
        before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        used = len(os.listdir(f"/proc/{worker}/fd"))
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 20, before[1]))
        held, refused = [], []
        for number in range(count):
            try:
                held.append(open(store.path / f"f{number}", "rb"))
            except OSError as error:
                refused.append(error.errno)
        self.assertTrue(refused)
        self.assertLessEqual(set(refused), {errno.EMFILE, errno.ENFILE})
        self.assertGreater(len(held), 5)
        for file in held:
            self.assertEqual(len(file.read(100)), 100)
            file.close()
        resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
        store.log_lines_allowed = ("Too many open files",)
        for number in range(count):
            self.assertEqual((store.path / f"f{number}").read_bytes(), PIECE[: 200_000 + number])
        (store.path / "new").write_bytes(PIECE)
        self.ended_well(store)

    def test_no_large_files(self):
        """A limit on the size of the daemon's files (`ulimit -f`) is an error and not its end."""
        store = self.mounted("without=passthrough")
        worker = store.worker()
        before = resource.prlimit(worker, resource.RLIMIT_FSIZE)
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (8 * MIB, before[1]))
        self.assertEqual(write(store.path / "fits", PIECE * 7), 0)
        self.assertEqual(write(store.path / "large", PIECE * 16), errno.EFBIG)
        self.assertEqual(write(store.path / "smaller", PIECE * 4), 0)
        resource.prlimit(worker, resource.RLIMIT_FSIZE, before)
        store.log_lines_allowed = ("File too large",)
        self.assertEqual(write(store.path / "large", PIECE * 16), 0)
        self.assertEqual(read(store.path / "large"), PIECE * 16)
        self.assertEqual(read(store.path / "smaller"), PIECE * 4)
        self.assertEqual(store.worker(), worker)
        self.ended_well(store)

    def test_many_open_files(self):
        """More than one process may have, so by several."""
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < max(
                min(OPEN_FILES, MOST_OF_A_PROCESS), OPEN_FILES // 4) + 200:
            self.skipTest("the limit of descriptors is too low")
        store = self.mounted(f"fuse_limit=8KiB,staging={OPEN_FILES * 64}KiB")  # a block for each
        start = time.monotonic()
        holders = []
        for first in range(0, OPEN_FILES, MOST_OF_A_PROCESS):
            ours, theirs = multiprocessing.Pipe()
            numbers = range(first, min(first + MOST_OF_A_PROCESS, OPEN_FILES))
            process = multiprocessing.Process(target=hold_open, args=(store.path, numbers, theirs))
            process.start()
            theirs.close()
            holders.append((process, ours))
        for _, told in holders:
            self.assertEqual(told.recv(), "open")
        self.assertEqual(store.status()["open_handles"], OPEN_FILES)
        for process, told in holders:
            told.send("read")
            process.join()
            self.assertEqual(process.exitcode, 0)
        print(f"{OPEN_FILES} open files: {time.monotonic() - start:.1f} s, "
              f"{store.resident_mib()} MiB", flush=True)
        self.ended_well(store)

    def test_64_writers(self):
        store = self.mounted("")
        failed = []

        def work(number):
            data = PIECE[number:] + PIECE[:number]
            path = store.path / f"w{number}"
            with open(path, "wb", buffering=0) as file:
                for at in range(0, 2 * MIB, 128 * 1024):
                    file.write((data * 2)[at:at + 128 * 1024])
            if path.read_bytes() != data * 2:
                failed.append(number)

        writers = [threading.Thread(target=work, args=(number,)) for number in range(64)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        self.assertEqual(failed, [])
        self.ended_well(store)


if __name__ == "__main__":
    unittest.main(verbosity=2)
