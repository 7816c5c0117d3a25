# SPDX-License-Identifier: Apache-2.0
"""Root's spill, restore, delete and destroy where a user may rename and link: nothing beyond the
storage is read, written or removed. No mount is needed."""
import ctypes
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m

m.limit_time(60)
FAILED = 8
EXCHANGE = 2
FOLDER = "ray_spilled_objects"
LIBC = ctypes.CDLL(None, use_errno=True)


def exchange(one, other):
    """renameat2(2) of two names, which at every moment name either."""
    LIBC.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), EXCHANGE)


class External(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="spillfs-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.spilled = self.root / "spill"
        self.spilled.mkdir()
        self.victim = self.root / "victim"
        self.victim.mkdir()
        self.precious = self.victim / "precious"
        self.precious.write_bytes(b"p" * 100)
        self.config = json.dumps({"type": "filesystem",
                                  "params": {"directory_path": str(self.spilled)}})

    def tearDown(self):
        self.assertEqual(self.precious.read_bytes(), b"p" * 100)
        self.assertEqual(os.listdir(self.victim), ["precious"])

    def run_verb(self, verb, *arguments, code=0, config=None, **options):
        done = subprocess.run([m.PROGRAM, verb, "--config", config or self.config,
                               *map(str, arguments)], capture_output=True, timeout=60, check=False,
                              **options)
        if code is not None:
            self.assertEqual(done.returncode, code, done)
        return done

    def spill(self, content=b"an object", config=None):
        return self.run_verb("spill", "-", input=content, config=config).stdout.decode().strip()

    def path_of(self, url):
        return pathlib.Path(url.split("?")[0])

    def swaps(self, path, other):
        """Exchanges the two names until the test ends."""
        stop = threading.Event()

        def swap():
            while not stop.is_set():
                exchange(path, other)
        thread = threading.Thread(target=swap)
        thread.start()

        def end():
            stop.set()
            thread.join()
        self.addCleanup(end)
        return end


class Destroy(External):
    def test_follows_no_link_to_the_folder(self):
        (self.spilled / FOLDER).symlink_to(self.victim)
        self.assertIn(b"symbolic link", self.run_verb("destroy", code=FAILED).stderr)

    def test_follows_no_link_in_the_folder(self):
        self.spill()
        (self.spilled / FOLDER / "link").symlink_to(self.victim)
        (self.spilled / FOLDER / "deep").mkdir()
        (self.spilled / FOLDER / "deep/link").symlink_to(self.victim)
        self.run_verb("destroy")
        self.assertEqual(os.listdir(self.spilled), [])

    def test_while_a_folder_and_a_link_change_places(self):
        folder, link = self.spilled / FOLDER, self.spilled / "aside"
        for _ in range(20):
            folder.mkdir(exist_ok=True)
            for n in range(20):
                (folder / str(n)).write_bytes(b"x")
            link.symlink_to(self.victim)
            end = self.swaps(folder, link)
            self.run_verb("destroy", code=None)
            end()
            self.assertEqual(os.listdir(self.victim), ["precious"])
            for path in (folder, link):
                if path.is_symlink():
                    path.unlink()
                elif path.exists():
                    path.rename(folder)

    def test_follows_no_link_to_the_sessions(self):
        config = json.dumps({"type": "ray_storage", "params": {"storage": str(self.spilled)}})
        (self.spilled / "spilled_objects").symlink_to(self.root)
        self.run_verb("destroy", "--session", "victim", config=config, code=FAILED)


class Delete(External):
    def refused(self, url, config=None):
        for verb in (["delete"], ["restore", "--stdout"]):
            done = self.run_verb(*verb, url, code=FAILED, config=config)
            self.assertIn(b"is not in this storage", done.stderr)
            self.assertEqual(done.stdout, b"")

    def test_only_urls_of_the_storage(self):
        url = self.spill()
        tail = "?offset=0&size=24"
        for base in (self.precious, f"file://{self.precious}", os.path.relpath(self.precious),
                     f"{self.spilled}/{FOLDER}/../../victim/precious",
                     f"{self.spilled}/../victim/precious", f"{self.spilled}/../spill/{FOLDER}/../../"
                     "victim/precious", f"s3://victim/{FOLDER}/x"):
            with self.subTest(base=base):
                self.refused(f"{base}{tail}")
        self.assertTrue(self.path_of(url).exists())
        self.run_verb("delete", f"file://{url}")
        self.assertFalse(self.path_of(url).exists())

    def test_only_uris_of_the_storage(self):
        config = json.dumps({"type": "smart_open", "params": {"uri": str(self.spilled)}})
        beside = self.spilled / "beside"
        beside.write_bytes(b"x")
        url = self.spill(config=config)
        self.refused(f"{beside}?offset=0&size=1", config)
        self.refused(f"{self.spilled}/{FOLDER}-x/../../victim/precious?offset=0&size=1", config)
        self.run_verb("delete", url, config=config)
        self.assertEqual(os.listdir(self.spilled), ["beside"])

    def test_through_no_link(self):
        name = self.path_of(self.spill()).name
        (self.victim / name).write_bytes(b"v")
        (self.spilled / FOLDER).rename(self.spilled / "aside")
        (self.spilled / FOLDER).symlink_to(self.victim)
        url = f"{self.spilled}/{FOLDER}/{name}?offset=0&size=24"
        for verb in (["delete"], ["restore", "--stdout"]):
            self.assertIn(b"symbolic link", self.run_verb(*verb, url, code=FAILED).stderr)
        (self.victim / name).unlink()

    def test_a_way_that_an_administrator_made_is_one(self):
        link = self.root / "link"
        link.symlink_to(self.spilled)
        config = json.dumps({"type": "filesystem", "params": {"directory_path": str(link)}})
        url = self.spill(b"data", config=config)
        self.assertEqual(self.run_verb("restore", "--stdout", url).stdout, b"data")
        self.run_verb("delete", url)
        self.assertEqual(os.listdir(self.spilled / FOLDER), [])

    def test_a_file_that_is_a_link_is_not_read(self):
        url = self.spill()
        self.path_of(url).unlink()
        self.path_of(url).symlink_to(self.precious)
        self.run_verb("restore", "--stdout", url, code=FAILED)
        self.run_verb("delete", url)
        self.assertFalse(self.path_of(url).is_symlink())

    def test_a_pipe_holds_nobody_up(self):
        url = self.spill()
        self.path_of(url).unlink()
        os.mkfifo(self.path_of(url))
        self.run_verb("restore", "--stdout", url, code=FAILED)


class Restore(External):
    def setUp(self):
        super().setUp()
        self.url = self.spill(b"forged")
        self.out = self.root / "out"
        self.out.mkdir()

    def test_writes_through_no_link(self):
        (self.out / "0").symlink_to(self.precious)
        self.run_verb("restore", "-o", self.out, self.url)
        self.assertEqual((self.out / "0").read_bytes(), b"forged")
        self.assertFalse((self.out / "0").is_symlink())
        (self.out / "0").unlink()
        (self.out / "0").symlink_to(self.victim / "new")
        self.run_verb("restore", "-o", self.out, self.url)
        self.assertEqual(os.listdir(self.out), ["0"])

    def test_writes_into_no_file_that_was_there(self):
        os.link(self.precious, self.out / "0")
        self.run_verb("restore", "-o", self.out, self.url)
        self.assertEqual((self.out / "0").read_bytes(), b"forged")

    def test_while_a_name_is_now_a_link_and_now_a_file(self):
        (self.out / "aside").symlink_to(self.precious)
        (self.out / "0").write_bytes(b"")
        end = self.swaps(self.out / "0", self.out / "aside")
        for _ in range(20):
            self.run_verb("restore", "-o", self.out, self.url)
            self.assertEqual(self.precious.read_bytes(), b"p" * 100)
        end()
        self.assertEqual(set(os.listdir(self.out)) - {"0", "aside"}, set())


class Spill(External):
    def test_writes_through_no_link(self):
        self.spill()
        for path in (self.spilled / FOLDER).iterdir():
            path.unlink()
        (self.spilled / FOLDER).rmdir()
        (self.spilled / FOLDER).symlink_to(self.victim)
        self.assertIn(b"symbolic link", self.run_verb("spill", "-", input=b"x", code=FAILED).stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
