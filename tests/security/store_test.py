# SPDX-License-Identifier: Apache-2.0
"""Stores, data directories and files of the daemon that an ordinary user can write: what the user
puts there must not have root read, write or wait for anything else."""
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m
from support.users import as_user

m.need_fuse()
m.limit_time(170)
ALICE, BOB = 4001, 4002
PRECIOUS = "root's alone\n"
REFUSED = 4
NAMES = ("store.json", "store.json.new", "lock", "spillfs.log", "ballast")


def plant_link(path, victim):
    os.symlink(victim, path)


def plant_hard_link(path, victim):
    os.link(victim, path)


def plant_fifo(path, _victim):
    os.mkfifo(path, 0o600)


def plant_device(path, _victim):
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 7))  # /dev/full


PLANTS = (plant_link, plant_hard_link, plant_fifo, plant_device)


class OnFolders(unittest.TestCase):
    """A folder of root's, and one of alice's in it."""

    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        self.root.chmod(0o755)
        self.victim = self.root / "victim"
        self.victim.write_text(PRECIOUS)
        self.victim.chmod(0o600)
        self.mnt = self.root / "mnt"
        self.mnt.mkdir()
        self.store = self.root / "store"
        self.hers = self.root / "hers"
        self.hers.mkdir()
        os.chown(self.hers, ALICE, ALICE)
        self.addCleanup(self.unmount)

    def unmount(self):
        if m.is_mounted(self.mnt):
            m.spillfs("umount", self.mnt)
        if m.is_mounted(self.mnt):
            subprocess.run(["umount", "-l", self.mnt], check=False)

    def mount(self, store=None, *more):
        """In the background, as this is where the log is in the store."""
        try:
            return m.spillfs("mount", store or self.store, self.mnt, *more, timeout=20)
        except subprocess.TimeoutExpired:
            self.fail("the mount hangs")

    def mounted(self, store=None, *more):
        done = self.mount(store, *more)
        self.assertEqual(done.returncode, 0, done.stderr)

    def assert_refused(self, done, *says, code=REFUSED):
        self.assertEqual(done.returncode, code, f"{done.stdout}{done.stderr}")
        self.assertTrue(done.stderr.startswith("spillfs: "), done.stderr)
        for text in says:
            self.assertIn(str(text), done.stderr)
        self.assertFalse(m.is_mounted(self.mnt))

    def assert_victim_is_whole(self):
        self.assertEqual(self.victim.read_text(), PRECIOUS)

    def made(self, store=None, *more):
        """A store of root's with a file in it, unmounted."""
        self.mounted(store, *more)
        (self.mnt / "file").write_bytes(b"kept" * 100_000)
        self.assertEqual(m.spillfs("umount", self.mnt).returncode, 0)


class Planted(OnFolders):
    """The store was writable for a while; what was put there is there still."""

    def test_in_a_new_store(self):
        for name in NAMES[1:4]:
            for plant in PLANTS:
                with self.subTest(name, plant=plant.__name__):
                    self.unmount()
                    shutil.rmtree(self.store, ignore_errors=True)
                    self.victim.write_text(PRECIOUS)
                    self.store.mkdir(mode=0o700)
                    plant(self.store / name, self.victim)
                    self.mount()  # may succeed: what is in the way of store.json is replaced
                    self.assert_victim_is_whole()

    def test_in_a_store(self):
        self.made()
        for name in NAMES:
            kept = None
            if (self.store / name).exists():
                kept = self.store.with_name("kept")
                os.rename(self.store / name, kept)
            for plant in PLANTS:
                with self.subTest(name, plant=plant.__name__):
                    self.victim.write_text(PRECIOUS)
                    plant(self.store / name, self.victim)
                    try:
                        done = self.mount()
                        self.assert_victim_is_whole()
                        if name in ("store.json", "lock", "spillfs.log"):
                            self.assert_refused(done, self.store / name)
                    finally:
                        self.unmount()
                        if os.path.lexists(self.store / name):
                            os.unlink(self.store / name)
            if kept is not None:
                os.rename(kept, self.store / name)
        self.mounted()
        self.assertEqual((self.mnt / "file").read_bytes(), b"kept" * 100_000)

    def test_a_log_that_turns_over(self):
        self.made()
        log = self.store / "spillfs.log"
        with open(log, "ab") as file:
            file.truncate(11 << 20)
        plant_link(self.store / "spillfs.1.log", self.victim)
        plant_link(self.store / "spillfs.2.log", self.victim)
        self.mounted()
        status = self.mnt / ".spillfs/status"
        worker = json.loads(status.read_text())["worker_pid"]
        os.kill(worker, signal.SIGKILL)  # which is worth a line
        m.wait_until(lambda: log.stat().st_size < 1 << 20, 10, "another log")
        self.unmount()
        self.assert_victim_is_whole()
        self.assertLess(log.stat().st_size, 1 << 20)

    def test_a_link_to_nothing_makes_no_file(self):
        self.made()
        for name in ("lock", "spillfs.log"):
            (self.store / name).unlink()
            plant_link(self.store / name, self.root / f"made-{name}")
            self.assert_refused(self.mount(), "is a symbolic link")
            (self.store / name).unlink()
            self.assertFalse((self.root / f"made-{name}").exists())

    def test_in_the_index(self):
        self.made()
        index = self.store / "index"
        for name in ("LOCK", "CURRENT", "999999.log"):
            with self.subTest(name):
                old = (index / name).read_bytes() if (index / name).exists() else None
                (index / name).unlink(missing_ok=True)
                plant_link(index / name, self.victim)
                self.assert_refused(self.mount(), name, "symbolic link")
                self.assertEqual(m.spillfs("check", self.store).returncode, REFUSED)
                self.assert_victim_is_whole()
                (index / name).unlink()
                if old is not None:
                    (index / name).write_bytes(old)
                    (index / name).chmod(0o600)
        plant_hard_link(index / "999999.log", self.victim)
        self.assert_refused(self.mount(), "999999.log has another name")
        (index / "999999.log").unlink()
        os.rename(index, self.root / "index")
        os.symlink(self.root / "index", index)
        self.assert_refused(self.mount(), "has to be a directory")
        self.assertNotEqual(m.spillfs("check", self.store, "--rebuild").returncode, 0)

    def test_segments_and_what_is_in_them(self):
        self.made()
        for folder in ("segments", "recycle"):
            with self.subTest(folder):
                os.rename(self.store / folder, self.root / folder)
                os.symlink(self.root / folder, self.store / folder)
                self.assert_refused(self.mount(), folder)
                os.unlink(self.store / folder)
                os.rename(self.root / folder, self.store / folder)
        segment = next((self.store / "segments").iterdir())
        size = segment.stat().st_size
        os.rename(segment, self.root / "segment")
        for plant in (plant_link, plant_hard_link, plant_fifo):
            plant(segment, self.victim)
            self.victim.write_bytes(bytes(size))
            done = self.mount()
            if done.returncode == 0:
                with self.assertRaises(OSError):
                    (self.mnt / "file").read_bytes()
            self.unmount()
            self.assertEqual(self.victim.read_bytes(), bytes(size))
            segment.unlink()

    def test_dump_opens_segments_alone(self):
        fifo = self.root / "fifo"
        plant_fifo(fifo, None)
        done = m.spillfs("dump", fifo, timeout=20)
        self.assertEqual(done.returncode, REFUSED, done.stderr)
        link = self.root / "link"
        plant_link(link, self.victim)
        self.assertEqual(m.spillfs("dump", link).returncode, REFUSED)


class Foreign(OnFolders):
    """Directories of a user, or that users may write."""

    def verbs(self, store):
        yield self.mount(store)
        yield m.spillfs("check", store)
        yield m.spillfs("check", store, "--rebuild")

    def refused_until(self, path, change, undo, *says):
        change(path)
        for done in self.verbs(self.store):
            self.assert_refused(done, path, *says)
        self.mounted(None, "-o", "foreign_store=yes")
        self.assertTrue((self.mnt / "file").exists())
        self.unmount()
        self.assertEqual(m.spillfs("check", self.store, "--foreign-store").returncode, 0)
        undo(path)
        self.assertEqual(m.spillfs("check", self.store).returncode, 0)

    def test_a_store_that_others_may_write(self):
        self.made()
        for mode in (0o777, 0o1777, 0o770):
            self.refused_until(self.store, lambda path: path.chmod(mode),
                               lambda path: path.chmod(0o700), f"'chmod go-w {self.store}'",
                               "foreign_store=yes")

    def test_a_store_of_another(self):
        self.made()
        self.refused_until(self.store, lambda path: os.chown(path, ALICE, ALICE),
                           lambda path: os.chown(path, 0, 0), f"belongs to user {ALICE}",
                           f"'chown root {self.store}'", "foreign_store=yes")

    def test_a_data_directory(self):
        data = self.root / "disk"
        data.mkdir()
        self.made(None, "-o", f"data={data}")
        self.refused_until(data, lambda path: path.chmod(0o777), lambda path: path.chmod(0o755),
                           f"'chmod go-w {data}'")
        self.refused_until(data, lambda path: os.chown(path, ALICE, ALICE),
                           lambda path: os.chown(path, 0, 0), f"belongs to user {ALICE}")

    def test_a_new_store_or_data_directory(self):
        self.assert_refused(self.mount(self.hers), f"belongs to user {ALICE}")
        self.assertEqual(os.listdir(self.hers), [])
        done = self.mount(None, "-o", f"data={self.hers}/disk")
        self.assert_refused(done, f"belongs to user {ALICE}")
        self.assertEqual(os.listdir(self.hers), [])

    def test_what_leads_to_it(self):
        way = self.root / "way"
        way.mkdir()
        self.store = way / "store"
        self.made()
        self.refused_until(way, lambda path: path.chmod(0o777), lambda path: path.chmod(0o755),
                           f"'chmod go-w {way}'")
        way.chmod(0o1777)
        self.mounted()
        self.unmount()

    def test_a_link_that_leads_to_it(self):
        self.made()
        link = self.root / "link"
        os.symlink(self.store, link)
        self.mounted(link)  # the administrator's
        self.unmount()
        theirs = self.hers / "store"
        as_user(ALICE, lambda: os.symlink(self.store, theirs))
        for more in ((), ("-o", "foreign_store=yes")):
            self.assert_refused(self.mount(theirs, *more), self.hers)
        self.root.chmod(0o1777)
        self.addCleanup(self.root.chmod, 0o755)
        os.lchown(link, ALICE, ALICE)
        self.assert_refused(self.mount(link), "is a symbolic link")

    def test_an_admitted_store_leads_nowhere_else(self):
        """store.json of a user names root's directory."""
        secret = self.root / "secret"
        secret.mkdir(mode=0o700)
        store = self.hers / "store"
        self.made(store, "-o", "foreign_store=yes")
        text = (store / "store.json").read_text()
        subprocess.run(["chown", "-R", f"{ALICE}:{ALICE}", store], check=True)
        (store / "store.json").write_text(text.replace('"."', f'"{secret}"'))
        self.assert_refused(self.mount(store, "-o", "foreign_store=yes"), secret,
                            "one user has to own both")
        self.assertEqual(os.listdir(secret), [])
        (store / "store.json").write_text(text)
        self.mounted(store, "-o", "foreign_store=yes")
        self.assertEqual((self.mnt / "file").read_bytes(), b"kept" * 100_000)

    def test_links_put_into_an_admitted_index_while_it_is_in_use(self):
        store = self.hers / "store"
        self.made(store, "-o", "foreign_store=yes")
        subprocess.run(["chown", "-R", f"{ALICE}:{ALICE}", store], check=True)
        self.mounted(store, "-o", "foreign_store=yes")

        def links():
            last = max(int(name.split("-")[-1].split(".")[0]) for name in os.listdir(store / "index")
                       if name.split("-")[-1].split(".")[0].isdigit())
            for number in range(last + 1, last + 300):
                for name in (f"{number:06}.log", f"{number:06}.sst", f"MANIFEST-{number:06}"):
                    os.symlink(self.victim, store / "index" / name)

        as_user(ALICE, links)
        try:
            for number in range(300):  # until the index begins files
                os.setxattr(self.mnt / "file", f"user.{number}", bytes(60_000))
        except OSError:
            pass  # it takes no changes any more
        m.spillfs("umount", self.mnt)
        self.assert_victim_is_whole()


class OwnStore(OnFolders):
    def test_of_an_ordinary_user(self):
        """A store of the caller's is fine; root's and bob's are not alice's to mount."""
        program = self.root / "spillfs"
        shutil.copy(m.PROGRAM, program)
        store = self.hers / "store"

        def check(path, uid=ALICE):
            return as_user(uid, lambda: subprocess.run([program, "check", path], capture_output=True,
                                                       text=True, check=False, timeout=60))
        self.made(store, "-o", "foreign_store=yes")
        subprocess.run(["chown", "-R", f"{ALICE}:{ALICE}", store], check=True)
        done = check(store)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_refused(self.mount(store), f"belongs to user {ALICE}")
        os.chmod(store, 0o777)
        self.assert_refused(check(store), f"'chmod go-w {store}'")
        os.chown(store, BOB, BOB)
        os.chown(self.hers, 0, 0)
        os.chmod(store, 0o755)
        self.assert_refused(check(store), f"belongs to user {BOB}", "one of your own")


class Config(OnFolders):
    def setUp(self):
        super().setUp()
        self.file = self.root / "spillfs.toml"
        self.file.write_text(f'store = "{self.store}"\nmountpoint = "{self.mnt}"\n')
        self.file.chmod(0o644)

    def run_verbs(self):
        yield m.spillfs("mount", "--config", self.file, timeout=20)
        yield m.spillfs("config", "--config", self.file)
        yield m.spillfs("umount", self.file)

    def refused(self, *says):
        for done in self.run_verbs():
            self.assert_refused(done, *says, code=2)

    def test_of_another(self):
        os.chown(self.file, ALICE, ALICE)
        self.refused(f"{self.file} belongs to user {ALICE}", "'chown root")
        done = m.spillfs("config", "--config", self.file, env={**os.environ, "SUDO_UID": str(ALICE)})
        self.assertEqual(done.returncode, 0, done.stderr)
        done = m.spillfs("config", "--config", self.file, env={**os.environ, "SUDO_UID": str(BOB)})
        self.assertEqual(done.returncode, 2)

    def test_that_others_may_write(self):
        for mode in (0o664, 0o646):
            self.file.chmod(mode)
            self.refused(f"'chmod go-w {self.file}'")

    def test_where_others_may_put_another(self):
        os.rename(self.file, self.hers / "spillfs.toml")
        self.file = self.hers / "spillfs.toml"
        self.refused(f"{self.hers} belongs to user {ALICE}")

    def test_a_fifo(self):
        self.file.unlink()
        plant_fifo(self.file, None)
        os.chown(self.file, ALICE, ALICE)
        for verb in ("mount", "config"):
            done = m.spillfs(verb, "--config", self.file, timeout=20)
            self.assert_refused(done, f"belongs to user {ALICE}", code=2)

    def test_ray_configuration(self):
        file = self.root / "ray.json"
        file.write_text('{"type": "filesystem", "params": {"directory_path": "%s"}}' % self.root)
        os.chown(file, ALICE, ALICE)
        self.assert_refused(m.spillfs("mount", f"@{file}", self.mnt, timeout=20),
                            f"{file} belongs to user {ALICE}", code=2)

    def test_a_reload_reads_no_other(self):
        store = m.Mounted()
        self.addCleanup(store.close)
        file = store.root / "spillfs.toml"
        file.write_text('quota = "1GiB"\n')
        file.chmod(0o644)
        store.mount("--config", str(file))
        if not store.goes_on():
            self.skipTest("this kernel can't go on over a reload")
        os.rename(file, store.root / "old")
        file.write_text('quota = "2GiB"\n')
        os.chown(file, ALICE, ALICE)
        done = m.spillfs("upgrade", store.path)
        self.assertEqual(done.returncode, 6, done.stderr)
        self.assertIn(f"belongs to user {ALICE}", store.log())
        self.assertEqual(store.status()["quota_bytes"], 1 << 30)
        os.chown(file, 0, 0)
        done = m.spillfs("upgrade", store.path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(store.status()["quota_bytes"], 2 << 30)
        store.umount()


class MetricsFile(unittest.TestCase):
    def setUp(self):
        self.store = m.Mounted()
        self.addCleanup(self.store.close)
        self.secret = self.store.root / "secret"
        self.secret.mkdir(mode=0o700)
        (self.secret / "metrics.prom").write_text(PRECIOUS)
        self.hers = self.store.root / "hers"
        self.hers.mkdir()
        os.chown(self.hers, ALICE, ALICE)

    def assert_refused(self, *says):
        m.wait_until(lambda: all(text in self.store.log() for text in says), 10, says)
        time.sleep(0.2)
        self.assertEqual((self.secret / "metrics.prom").read_text(), PRECIOUS)
        self.assertEqual(os.listdir(self.secret), ["metrics.prom"])

    def test_in_a_users_directory(self):
        self.store.mount("-o", f"metrics_file={self.hers}/metrics.prom")
        self.assert_refused(f"{self.hers} belongs to user {ALICE}")
        self.assertEqual(os.listdir(self.hers), [])
        self.store.umount()

    def test_a_link_instead_of_the_directory(self):
        as_user(ALICE, lambda: os.symlink(self.secret, self.hers / "textfile"))
        self.store.mount("-o", f"metrics_file={self.hers}/textfile/metrics.prom")
        self.assert_refused(f"{self.hers} belongs to user {ALICE}")
        self.store.umount()
        self.assertEqual((self.secret / "metrics.prom").read_text(), PRECIOUS)

    def test_a_directory_that_is_swapped_before_a_reload(self):
        """It was root's when the mount was made."""
        folder = self.store.root / "way/textfile"
        folder.mkdir(parents=True)
        self.store.mount("-o", f"metrics_file={folder}/metrics.prom")
        m.wait_until((folder / "metrics.prom").exists, 10, "the file")
        if not self.store.goes_on():
            self.skipTest("this kernel can't go on over a reload")
        os.chown(folder.parent, ALICE, ALICE)
        as_user(ALICE, lambda: os.rename(folder, folder.parent / "old"))
        as_user(ALICE, lambda: os.symlink(self.secret, folder))
        done = m.spillfs("upgrade", self.store.path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_refused(f"{folder.parent} belongs to user {ALICE}")
        self.store.umount()
        self.assertEqual((self.secret / "metrics.prom").read_text(), PRECIOUS)

    def test_a_link_in_its_place_is_replaced(self):
        folder = self.store.root / "textfile"
        folder.mkdir()
        for name in ("metrics.prom", "metrics.prom.new"):
            os.symlink(self.secret / "metrics.prom", folder / name)
        self.store.mount("-o", f"metrics_file={folder}/metrics.prom")
        m.wait_until(lambda: not (folder / "metrics.prom").is_symlink(), 10, "the file")
        self.assertEqual((self.secret / "metrics.prom").read_text(), PRECIOUS)
        self.store.umount()


class MetricsSocket(OnFolders):
    def test_in_a_users_directory(self):
        store = m.Mounted(f"metrics=unix:{self.hers}/socket")
        self.addCleanup(store.close)
        store.mount()
        m.wait_until(lambda: f"{self.hers} belongs to user {ALICE}" in store.log(), 10, "a line")
        self.assertEqual(os.listdir(self.hers), [])
        store.umount()

    def test_another_users_socket_is_not_removed(self):
        shared = self.root / "shared"
        shared.mkdir()
        shared.chmod(0o1777)

        def dead_socket():
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(shared / "socket"))
        as_user(ALICE, dead_socket)
        store = m.Mounted(f"metrics=unix:{shared}/socket")
        self.addCleanup(store.close)
        store.mount()
        m.wait_until(lambda: "is another process's" in store.log(), 10, "a line")
        self.assertEqual((shared / "socket").lstat().st_uid, ALICE)
        store.umount()


class Swapped(OnFolders):
    def test_two_stores_while_one_is_mounted(self):
        """A reload goes on with the store that is mounted, or not at all."""
        way = self.root / "way"
        way.mkdir()
        store = m.Mounted()
        self.addCleanup(store.close)
        store.store = way / "store"
        store.mount()
        if not store.goes_on():
            self.skipTest("this kernel can't go on over a reload")
        (store.path / "file").write_text("of the first")
        self.made(way / "other")
        os.rename(way / "store", way / "old")
        os.rename(way / "other", way / "store")
        done = m.spillfs("upgrade", store.path)
        self.assertEqual(done.returncode, 6, done.stderr)
        self.assertIn("is another store than the one that is mounted", store.log())
        self.assertEqual((store.path / "file").read_text(), "of the first")
        os.rename(way / "store", way / "other")
        os.rename(way / "old", way / "store")
        done = m.spillfs("upgrade", store.path)
        self.assertEqual(done.returncode, 0, done.stderr + store.log())
        self.assertEqual((store.path / "file").read_text(), "of the first")
        store.umount()


if __name__ == "__main__":
    unittest.main()
