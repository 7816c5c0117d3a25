# SPDX-License-Identifier: Apache-2.0
"""Configuration files, what `config` prints, and a reload of a live mount."""
import json
import os
import subprocess
import sys
import tomllib
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m

m.need_fuse()
m.limit_time(140)


class FromAFile(m.Mounted):
    """A store whose mount takes everything from root/mount.toml."""

    def write(self, **values):
        text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
        self.file = self.root / "mount.toml"
        self.file.write_text(text)

    def lines(self):
        """Of the options in force: name to (value, where from)."""
        text = (self.path / ".spillfs/config").read_text()
        values = tomllib.loads(text)
        origins = dict((line.split(" = ")[0], line.rsplit("  # ", 1)[1])
                       for line in text.splitlines())
        return {name: (value, origins[name]) for name, value in values.items()}


class OnFiles(unittest.TestCase):
    def store(self):
        store = FromAFile()
        self.addCleanup(store.close)
        return store

    def background(self, store, *arguments):
        """Mounts in the background, for the test's time."""
        done = m.spillfs("mount", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.addCleanup(subprocess.run, ["umount", "-l", store.path], check=False,
                        capture_output=True)

    def ended(self, store):
        done = m.spillfs("umount", store.path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(m.spillfs("check", store.store).returncode, 0)


class Configuration(OnFiles):
    def test_default_then_file_then_command_line(self):
        store = self.store()
        store.write(store="store", mountpoint="elsewhere", quota="1GiB", pool=0, threads=3,
                    background_checksums=False, data=["data,1", "data:2"])
        self.background(store, "--config", store.file, store.path, "-o", "quota=2GiB")
        lines = store.lines()
        self.assertEqual(lines["quota"], ("2GiB", "-o"))
        self.assertEqual(lines["pool"], ("0", f"{store.file}:4"))
        self.assertEqual(lines["threads"], (3, f"{store.file}:5"))
        self.assertEqual(lines["background_checksums"], (False, f"{store.file}:6"))
        self.assertEqual(lines["staging"], ("64MiB", "default"))
        self.assertEqual(lines["mountpoint"][0], str(store.path))
        self.assertEqual(store.status()["data_directories"],
                         [str(store.root / "data,1"), str(store.root / "data:2")])
        (store.path / "file").write_bytes(b"bytes")
        shown = m.spillfs("config", store.path)
        self.assertEqual(shown.stdout, (store.path / ".spillfs/config").read_text())
        as_json = json.loads(m.spillfs("config", store.path, "--json").stdout)
        self.assertEqual(as_json["quota"], {"value": "2GiB", "from": "-o"})
        self.ended(store)
        # What it printed mounts the same.
        store.file.write_text(shown.stdout)
        self.background(store, "--config", store.file)
        again = store.lines()
        self.assertEqual({name: value for name, (value, _) in again.items()},
                         {name: value for name, (value, _) in lines.items()})
        self.assertEqual((store.path / "file").read_bytes(), b"bytes")
        self.ended(store)

    def test_what_is_wrong_is_told_before_anything_is_made(self):
        store = self.store()
        for values, text in (({"quotta": 1}, "mount.toml:1: unknown key 'quotta'; did you mean "
                                             "'quota'?"),
                             ({"store": "store", "threads": 99}, "mount.toml:2: option 'threads'"),
                             ({"quota": 1}, "give a store and a mountpoint")):
            store.write(**values)
            done = m.spillfs("mount", "--config", store.file)
            self.assertEqual(done.returncode, 2)
            self.assertIn(text, done.stderr)
        self.assertEqual(m.spillfs("mount", "--config", store.root / "none").returncode, 2)
        self.assertFalse(store.store.exists())

    def test_rays_configuration_in_place_of_a_store(self):
        store = self.store()
        folders = [store.root / "disk1", store.root / "disk2"]
        for folder in folders:
            folder.mkdir()
        ray = json.dumps({"type": "filesystem", "buffer_size": 1 << 20,
                          "params": {"directory_path": list(map(str, folders))}})
        (store.root / "ray.json").write_text(ray)
        store.store = folders[0] / "spillfs-store"
        store.write(object_spilling_config=ray, mountpoint=str(store.path))
        for number, arguments in enumerate(([ray, store.path],
                                            ["@" + str(store.root / "ray.json"), store.path],
                                            ["--config", store.file])):
            self.background(store, *arguments)
            (store.path / f"file{number}").write_bytes(b"bytes")
            self.assertEqual(len(os.listdir(store.path)), number + 1)
            self.assertEqual(store.status()["store"], str(store.store))
            self.assertEqual(store.status()["data_directories"],
                             [str(folder / "spillfs-store") for folder in folders])
            self.ended(store)
        done = m.spillfs("mount", '{"type": "smart_open", "params": {"uri": "s3://bucket"}}',
                         store.path)
        self.assertEqual(done.returncode, 2)
        self.assertIn("'spillfs spill' takes 'smart_open'", done.stderr)


class Reload(OnFiles):
    def reload(self, store):
        return m.spillfs("upgrade", store.path)

    def test_takes_over_what_can_change_and_keeps_the_rest(self):
        store = self.store()
        values = {"store": "store", "mountpoint": "mnt", "quota": "1GiB", "read_ahead": "1MiB",
                  "staging": "32MiB"}
        store.write(**values)
        self.background(store, "--config", store.file, "-o", "threads=2")
        if not store.goes_on():
            self.skipTest("this kernel can't send requests again")
        log = store.store / "spillfs.log"
        with open(store.path / "open", "wb") as file:
            file.write(b"written before ")
            file.flush()
            store.write(**values | {"quota": "2GiB", "read_ahead": "512KiB", "staging": "64MiB",
                                    "allow_other": False, "threads": 7, "log_level": "debug"})
            done = self.reload(store)
            self.assertEqual(done.returncode, 0, done.stderr)
            file.write(b"and after")
        self.assertEqual((store.path / "open").read_bytes(), b"written before and after")
        lines = store.lines()
        self.assertEqual(lines["quota"], ("2GiB", f"{store.file}:3"))
        self.assertEqual(lines["read_ahead"], ("512KiB", f"{store.file}:4"))
        self.assertEqual(lines["staging"], ("32MiB", f"{store.file}:5"))
        self.assertEqual(lines["threads"], (2, "-o"))
        self.assertEqual(lines["allow_other"], (True, "default"))
        self.assertEqual(lines["log_level"][0], "debug")
        self.assertEqual(store.status()["quota_bytes"], 2 << 30)
        for name in ("staging stays 32MiB", "allow_other stays yes"):
            self.assertIn(f"{name}: it can't change while the mount is in use", log.read_text())
        self.bad_file(store, log, lines)
        self.ended(store)

    def bad_file(self, store, log, lines):
        """The old program goes on with the old options, and so do its workers."""
        store.file.write_text("quota = \"3GiB\"\nthraeds = 1\n")
        done = self.reload(store)
        self.assertEqual(done.returncode, 6)
        self.assertIn("mount.toml:2: unknown key 'thraeds'; did you mean 'threads'?",
                      log.read_text())
        self.assertEqual(store.lines(), lines)
        store.kill_worker()
        self.assertEqual(store.lines(), lines)
        # And a good one counts again, also where the file moved the values to other lines.
        store.file.write_text("\nquota = \"3GiB\"\n")
        self.assertEqual(self.reload(store).returncode, 0)
        self.assertEqual(store.lines()["quota"], ("3GiB", f"{store.file}:2"))
        self.assertEqual(store.lines()["staging"], ("32MiB", f"{store.file}:5"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
