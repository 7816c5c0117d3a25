# SPDX-License-Identifier: Apache-2.0
"""The life of a mount: its verbs, its control files, an ordinary user's mount, the worker's death,
and a directory of very many names.

SPILLFS_MANY says how many names.
"""
import errno
import json
import os
import pathlib
import pwd
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m

m.need_fuse()
MANY = int(os.environ.get("SPILLFS_MANY", "100000"))
m.limit_time(max(580, MANY // 1000))
MOST_MIB = 160  # of the worker: block cache and write buffers, however many names there are


class Life(unittest.TestCase):
    def test_background_mount_and_verbs(self):
        root = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-"))
        self.addCleanup(shutil.rmtree, root)
        mnt = root / "mnt"
        mnt.mkdir()
        done = m.spillfs("mount", "store", "mnt", "-o", "quota=1GiB", cwd=root)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.addCleanup(subprocess.run, ["umount", "-l", mnt], check=False, capture_output=True)
        (mnt / "file").write_bytes(b"bytes")
        status = json.loads((mnt / ".spillfs/status").read_text())
        self.assertEqual(status["store"], str(root / "store"))
        self.assertEqual(status["quota_bytes"], 1 << 30)
        self.assertRegex((mnt / ".spillfs/config").read_text(), r'quota = "1GiB" +# -o\n')
        shown = m.spillfs("status", mnt)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn(str(root / "store"), shown.stdout)
        self.assertNotIn(".spillfs", os.listdir(mnt))
        for call in (lambda: os.rename(mnt / ".spillfs", mnt / "x"),
                     lambda: os.mkdir(mnt / ".spillfs/x"),
                     lambda: os.unlink(mnt / ".spillfs/status"),
                     lambda: os.link(mnt / "file", mnt / ".spillfs/x")):
            with self.assertRaises(OSError) as caught:
                call()
            self.assertIn(caught.exception.errno, (errno.EPERM, errno.EACCES))
        self.assertEqual(m.spillfs("umount", mnt).returncode, 0)
        self.assertEqual(m.spillfs("check", root / "store").returncode, 0)
        dump = m.spillfs("dump", next((root / "store/segments").glob("*.fused")))
        self.assertEqual(dump.returncode, 0, dump.stderr)
        self.assertIn("/file", dump.stdout)

    def test_ends_by_umount_and_by_signals(self):
        store = m.Mounted()
        self.addCleanup(store.close)
        for number, end in enumerate((signal.SIGTERM, signal.SIGINT, None)):
            store.mount()
            file = os.open(store.path / f"f{number}", os.O_WRONLY | os.O_CREAT)
            os.write(file, b"sealed when the mount ends")
            if end is None:
                subprocess.run(["umount", "-l", store.path], check=True)
                os.close(file)
                self.assertEqual(store.process.wait(20), 0, store.log())
            else:
                os.kill(store.process.pid, end)
                self.assertEqual(store.process.wait(20), 0, store.log())
                with self.assertRaises(OSError):
                    os.close(file)
            self.assertFalse(m.is_mounted(store.path))
            store.check()
        store.mount()
        for number in range(3):
            self.assertEqual((store.path / f"f{number}").read_bytes(),
                             b"sealed when the mount ends")
        store.umount()

    def test_umount_if_dead(self):
        store = m.Mounted()
        self.addCleanup(store.close)
        config = store.root / "spill.toml"
        config.write_text(f'store = "{store.store}"\nmountpoint = "{store.path}"\n')
        unmount = lambda path: m.spillfs("umount", "--if-dead", path)
        self.assertEqual(unmount(config).returncode, 0)
        store.mount()
        self.assertEqual(unmount(config).returncode, 0)
        self.assertTrue(store.serves())
        store.kill()
        self.assertTrue(m.is_mounted(store.path))
        self.assertEqual(unmount(config).returncode, 0)
        self.assertFalse(m.is_mounted(store.path))
        self.assertEqual(m.spillfs("umount", config).returncode, 3)
        config.write_text("")
        self.assertEqual(unmount(config).returncode, 2)

    def test_the_workers_death_ends_the_mount_where_nothing_can_be_sent_again(self):
        store = m.Mounted("without=resend")
        self.addCleanup(store.close)
        store.mount()
        (store.path / "closed").write_bytes(b"kept" * 1000)
        status = json.loads((store.path / ".spillfs/status").read_text())
        self.assertIn("the mount ends", status["when_the_worker_dies"])
        os.kill(store.worker(), signal.SIGKILL)
        self.assertEqual(store.process.wait(20), 7)
        self.assertFalse(m.is_mounted(store.path))
        self.assertEqual(os.listdir(store.path), [])
        store.check()
        store.mount()
        self.assertEqual((store.path / "closed").read_bytes(), b"kept" * 1000)
        store.umount()
        store.check()


class OrdinaryUser(unittest.TestCase):
    def test_mounts_through_fusermount(self):
        if shutil.which("fusermount3") is None:
            self.skipTest("no fusermount3")
        if os.stat(shutil.which("fusermount3")).st_mode & 0o4000 == 0:
            self.skipTest("fusermount3 is not set-uid")
        user = pwd.getpwnam("nobody")
        root = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-"))
        self.addCleanup(shutil.rmtree, root)
        os.chown(root, user.pw_uid, user.pw_gid)
        os.chmod(root, 0o755)
        program = root / "spillfs"
        shutil.copy(m.PROGRAM, program)  # the build may lie where the user can't look
        mnt = root / "mnt"

        def as_user(*command):
            return subprocess.run(
                ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups",
                 *map(str, command)], capture_output=True, text=True, check=False, timeout=60)

        def shell(text):
            done = as_user("sh", "-c", f"cd {root} && {text}")
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout

        mode = stat.S_IMODE(os.stat("/dev/fuse").st_mode)
        if mode != 0o666:  # what distributions set; containers often do not
            self.addCleanup(os.chmod, "/dev/fuse", mode)
            os.chmod("/dev/fuse", 0o666)
        shell("mkdir mnt")
        done = as_user(program, "mount", root / "store", mnt)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.addCleanup(subprocess.run, ["umount", "-l", mnt], check=False, capture_output=True)
        shell("head -c 5000000 /dev/urandom > data && cp data mnt/data && cmp data mnt/data")
        shell("mkdir mnt/folder && mv mnt/data mnt/folder/ && ls -l mnt/folder")
        self.assertIn("nobody", shell("stat -c %U mnt/folder/data"))
        with self.assertRaises(PermissionError):  # without allow_other not even root may look
            os.listdir(mnt)
        # allow_other is fuse.conf's to give, and the refusal must say so
        conf = pathlib.Path("/etc/fuse.conf")
        allowed = conf.exists() and any(line.strip() == "user_allow_other"
                                        for line in conf.read_text().splitlines())
        done = as_user(program, "umount", mnt)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(m.is_mounted(mnt))
        self.assertEqual(as_user(program, "check", root / "store").returncode, 0)
        if not allowed:
            done = as_user(program, "mount", root / "store", mnt, "-o", "allow_other")
            self.assertEqual(done.returncode, 6, done.stderr)
            self.assertIn("user_allow_other", done.stderr)


class ManyNames(unittest.TestCase):
    def test_listing_while_others_delete(self):
        """Every name that stays is seen exactly once, none that went before the listing began."""
        store = m.Mounted()
        self.addCleanup(store.close)
        store.mount()
        folder = store.path / "many"
        folder.mkdir()
        start = time.monotonic()
        for number in range(MANY):
            os.close(os.open(folder / f"n{number}", os.O_WRONLY | os.O_CREAT))
        print(f"{MANY} creates: {MANY / (time.monotonic() - start):.0f}/s", flush=True)
        self.assertEqual(len(set(os.listdir(folder))), MANY)
        going = [f"n{number}" for number in range(0, MANY, 3)]
        random.Random(1).shuffle(going)
        seen = []
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                seen.append(entry.name)
                if count % 3 == 0 and going:
                    os.unlink(folder / going.pop())
        self.assertEqual(len(seen), len(set(seen)), "a name twice")
        staying = {f"n{number}" for number in range(MANY) if number % 3}
        self.assertLessEqual(staying, set(seen), "a name that stays is missing")
        for name in going:
            os.unlink(folder / name)
        self.assertEqual(set(os.listdir(folder)), staying)
        for name in staying:
            os.stat(folder / name)
        print(f"worker's memory: {store.resident_mib()} MiB", flush=True)
        self.assertLess(store.resident_mib(), MOST_MIB)
        store.umount()
        start = time.monotonic()
        store.mount()
        print(f"mount with {len(staying)} files: {time.monotonic() - start:.2f} s", flush=True)
        self.assertEqual(len(os.listdir(folder)), len(staying))
        start = time.monotonic()
        shutil.rmtree(folder)
        print(f"{len(staying)} deletes: {len(staying) / (time.monotonic() - start):.0f}/s")
        store.umount()
        store.check()
        store.check_log()


if __name__ == "__main__":
    unittest.main(verbosity=2)
