# SPDX-License-Identifier: Apache-2.0
"""Names that users choose begin no line and send no terminal a command, wherever a verb prints them
or the log has them; JSON with them stays JSON."""
import ctypes
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m
from support.users import as_user

m.need_fuse()
m.limit_time(110)
ALICE = 4001
FORGED = b"spillfs: forged"
# A line break, a terminal's command, C1's one, what turns the direction, and no UTF-8.
EVIL = b"x\n" + FORGED + b"\x1b[2J\xc2\x9b2J\xe2\x80\xae\x7f\xff"
SHOWN = rb"x\nspillfs: forged\033[2J\302\2332J\342\200\256\177"
WHOLE = SHOWN + rb"\377"  # where it did not come through JSON, which has no such byte
DUCKDB = b"duckdb_temp_storage_S32K-0.tmp"


def run(*arguments, **options):
    """As m.spillfs, but in bytes."""
    return subprocess.run([m.PROGRAM, *arguments], capture_output=True, timeout=120, check=False,
                          **options)


def json_of(text):
    return json.loads(text.decode())  # strictly


class Lines(unittest.TestCase):
    def harmless(self, text, shown=None):
        for number, line in enumerate(text.split(b"\n")):
            self.assertFalse(line.startswith(FORGED), text)
            bad = [byte for byte in line if byte < 0x20 or byte == 0x7f]
            self.assertEqual(bad, [], f"line {number} of {text}")
        try:
            decoded = text.decode()
        except UnicodeDecodeError:
            self.fail(f"not UTF-8: {text}")
        for letter in ("\x9b", "\u202e"):
            self.assertNotIn(letter, decoded)
        if shown is not None:
            self.assertIn(shown, text)


class Operands(Lines):
    """What a verb was given, as a shell's * gives it."""

    def test_every_verb_refuses_it_in_one_line(self):
        name = b"/nowhere/" + EVIL
        config = b'@' + name
        for words in (["status", name], ["umount", name], ["upgrade", name], ["config", name], ["config", "--config", name],
                      ["config", "-o", b"quota=" + EVIL], ["config", "-o", EVIL],
                      ["doctor", name], ["doctor", "--ray-config", config], ["top", name],
                      ["bench", name], ["bench", "--size", EVIL, "/tmp"], ["scrub", name],
                      ["reap", name], ["reap", "--older-than", EVIL], ["check", name],
                      ["dump", name], ["mount", name, name], ["mount", "--config", name],
                      ["spill", "--config", config, name], ["delete", "--config", config, name],
                      ["status", "/", name]):
            with self.subTest(words=words[:-1]):
                done = run(*words)
                self.assertNotEqual(done.returncode, 0)
                self.harmless(done.stdout)
                self.harmless(done.stderr)
                self.assertIn(rb"\nspillfs: forged", done.stdout + done.stderr)

    def test_urls(self):
        with tempfile.TemporaryDirectory() as folder:
            config = json.dumps({"type": "filesystem", "params": {"directory_path": folder}})
            for url in (EVIL, EVIL + b"?offset=0&size=1", b"s3://bucket/" + EVIL):
                for words in (["delete"], ["restore", "--stdout"]):
                    done = run(*words, "--config", config, url)
                    self.harmless(done.stderr)

    def test_a_plain_directory_that_looks_like_a_mount(self):
        with tempfile.TemporaryDirectory() as folder:
            control = pathlib.Path(folder, ".spillfs")
            control.mkdir()
            (control / "config").write_bytes(b"quota = \"0\"  # -o\n\x1b[2J\xc2\x9b\n")
            status = {"mountpoint": EVIL.decode(errors="replace"), "store": "a\n" + "forged",
                      "memory": "b\nforged", "index": "c\nforged", "version": "d\nforged"}
            (control / "status").write_text(json.dumps(status))
            (control / "metrics").write_bytes(b'spillfs_requests_total{operation="\x1b[2J"} 1\n')
            for words in (["config"], ["status"], ["top", "--count", "1", "--interval", "0.1"]):
                done = run(*words, folder)
                self.harmless(done.stdout)
                self.harmless(done.stderr)
                self.assertNotIn(b"\nforged", done.stdout)

    def test_what_processes_say_of_themselves(self):
        """doctor reads where Ray's processes spill to."""
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            program = pathlib.Path(folder, "raylet")
            program.symlink_to("/bin/sleep")
            process = subprocess.Popen([program, "60"], user=ALICE, group=ALICE, extra_groups=[],
                                       env={b"RAY_object_spilling_directory": b"/" + EVIL})
            try:
                m.wait_until(lambda: pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes()
                             .startswith(str(program).encode()), 10, "its start")
                done = run("doctor")
                self.harmless(done.stdout, SHOWN)
                self.assertTrue(json_of(run("doctor", "--json").stdout))
            finally:
                process.kill()
                process.wait()


class Mount(Lines):
    def setUp(self):
        self.store = m.Mounted("fuse_limit=64KiB")
        self.addCleanup(self.store.close)
        self.store.mount()
        os.chmod(self.store.path, 0o1777)
        self.root = os.fsencode(self.store.path)
        self.folder = self.root + b"/" + EVIL

    def log(self):
        return self.store.log_path().read_bytes()

    def segment(self, size):
        return next(file for file in (self.store.store / "segments").glob("*.private")
                    if file.stat().st_size == size)

    def make_damaged(self):
        """A file of a user whose bytes flip on the disk."""
        def write():
            os.mkdir(self.folder)
            pathlib.Path(os.fsdecode(self.folder), "large").write_bytes(b"l" * 3_000_000)
        as_user(ALICE, write)
        self.store.umount()
        with open(self.segment(3_000_000), "r+b") as segment:
            segment.seek(2_000_000)
            segment.write(b"L")
        self.store.mount()

    def test_scrub_and_its_log(self):
        self.make_damaged()
        done = run("scrub", self.root)
        self.assertEqual(done.returncode, 1, done)
        self.harmless(done.stderr, SHOWN)
        self.harmless(done.stdout)
        lines = [json_of(line) for line in run("scrub", self.root, "--json").stdout.splitlines()]
        self.assertTrue(any("damage" in line for line in lines))
        with self.assertRaises(OSError):
            pathlib.Path(os.fsdecode(self.folder), "large").read_bytes()
        self.harmless(self.log(), WHOLE)

    def test_reap(self):
        os.mkdir(self.folder, 0o777)
        path = self.folder + b"/" + DUCKDB
        child = os.fork()
        if child == 0:
            file = os.open(path, os.O_RDWR | os.O_CREAT)
            os.write(file, b"x" * 32768)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        words = ("reap", self.root, "--older-than", "0s")
        m.wait_until(lambda: run(*words, "--dry-run").stdout.count(b"bytes") > 1, 10, "its end")
        self.harmless(run(*words, "--dry-run").stdout, WHOLE + b"/" + DUCKDB)
        self.assertTrue(json_of(run(*words, "--dry-run", "--json").stdout.splitlines()[0])["bytes"])
        self.harmless(run(*words).stdout, WHOLE + b"/" + DUCKDB)

    def test_dump_and_rebuild(self):
        def write(name):
            pathlib.Path(os.fsdecode(self.folder + name)).write_bytes(b"s" * 30_000)

        os.mkdir(self.folder)
        write(b"/" + EVIL)
        os.rename(self.folder + b"/" + EVIL, self.folder + b"/moved")
        write(b"/" + EVIL)  # two files that were sealed under one name
        self.store.umount()
        fused = next((self.store.store / "segments").glob("*.fused"))
        done = run("dump", fused)
        self.harmless(done.stdout, WHOLE)
        done = run("check", self.store.store, "--rebuild", "--force")
        self.assertIn(b"lost+found", done.stderr)
        self.harmless(done.stderr, SHOWN)
        self.harmless(done.stdout)

    def test_who_asks_and_where_the_bytes_are(self):
        """top's lines, and the control files they are made from."""
        os.mkdir(self.folder)
        pathlib.Path(os.fsdecode(self.folder), "f").write_bytes(b"x" * 10_000)
        child = os.fork()
        if child == 0:
            ctypes.CDLL(None).prctl(15, b"\x1b[2Jcalled\xff", 0, 0, 0)
            for number in itertools.count():  # names that the kernel does not know
                os.path.exists(f"{self.store.path}/{number}")
                time.sleep(0.01)
        try:
            done = run("top", "--count", "1", "--interval", "0.5", self.root)
            self.assertEqual(done.returncode, 0, done)
            self.harmless(done.stdout, rb"\033[2Jcalled")
            for name in ("clients", "status", "users", "directories"):
                text = pathlib.Path(self.store.path, ".spillfs", name).read_bytes()
                self.assertTrue(json_of(text), name)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def test_top_names_directories(self):
        def text():
            return run("top", "--count", "1", "--interval", "0.2", self.root).stdout
        os.mkdir(self.folder)
        pathlib.Path(os.fsdecode(self.folder), "f").write_bytes(b"x" * 10_000)
        m.wait_until(lambda: b"directories," in text() and b"forged" in text(), 30, "a count")
        self.harmless(text(), SHOWN)


if __name__ == "__main__":
    unittest.main(verbosity=2)
