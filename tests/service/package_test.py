# SPDX-License-Identifier: Apache-2.0
"""What `cmake --install` puts where, and that the Debian package works on a system that has nothing but
its dependencies."""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import machine, mounted as m

m.limit_time(290)
m.need_fuse()
machine.own_mounts("cpack", "dpkg-shlibdeps")
BUILD = pathlib.Path(m.PROGRAM).resolve().parent
CONFIG = json.dumps({"type": "filesystem", "params": {"directory_path": "/mnt"}})
# No documents that nobody reads here, and no waiting for the disk.
SMALL = ("--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
         "--dpkgopt=force-unsafe-io")


def run(*words, **options):
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise AssertionError(f"{words}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Packages(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-package-"))
        self.addCleanup(self.remove_folder)

    def remove_folder(self):
        if any(mountpoint.startswith(f"{self.folder}/") for mountpoint, _ in m.mounts()):
            return  # the machine's own /dev may be below it
        shutil.rmtree(self.folder, ignore_errors=True)

    def test_a_prefix(self):
        run("cmake", "--install", BUILD, "--prefix", "/opt/spillfs", "--strip",
            env={**os.environ, "DESTDIR": str(self.folder)})
        root = self.folder / "opt/spillfs"
        self.assertIn("spillfs ", run(root / "bin/spillfs", "--version"))
        self.assertNotIn(".symtab", run("readelf", "--sections", "--wide", root / "bin/spillfs"))
        for name in ("mount", "umount", "fsck"):
            self.assertTrue(os.path.samefile(root / f"sbin/{name}.spillfs", root / "bin/spillfs"))
        unit = (root / "lib/systemd/system/spillfs@.service").read_text()
        self.assertIn("ExecStart=/opt/spillfs/bin/spillfs mount", unit)
        self.assertNotIn("@program@", unit)
        self.assertEqual({path.name for path in self.folder.iterdir()}, {"opt"})
        mount = m.spillfs("mount", "-f", "--config", root / "share/doc/spillfs/example.toml",
                          self.folder / "absent")
        self.assertEqual(mount.returncode, 3, mount.stderr)  # a good file, and no mountpoint

    def package(self):
        run("cpack", "-G", "DEB", "-B", self.folder, cwd=BUILD)
        return next(self.folder.glob("*.deb"))

    def clean_system(self):
        """A root with apt and what it needs, in memory."""
        release = dict(line.split("=", 1)
                       for line in pathlib.Path("/etc/os-release").read_text().splitlines())
        if release["ID"] != "debian" or shutil.which("mmdebstrap") is None:
            self.skipTest("not a Debian, or without mmdebstrap")
        memory = self.folder / "memory"
        memory.mkdir()
        run("mount", "-t", "tmpfs", "tmpfs", memory)
        self.addCleanup(run, "umount", "--recursive", "--lazy", memory)
        root = memory / "root"
        try:
            run("mmdebstrap", "--quiet", "--mode=root", "--variant=apt", "--skip=cleanup/apt/lists",
                *SMALL, release["VERSION_CODENAME"], root, timeout=200)
        except (AssertionError, subprocess.TimeoutExpired) as problem:
            self.skipTest(f"no Debian to be had: {problem}")
        for name in ("dev", "proc"):
            run("mount", "--rbind", f"/{name}", root / name)
        return root

    def fetch(self, inside):
        """What the package needs, before anything is judged."""
        try:
            inside("apt-get", "install", "--download-only", "--yes", "-qq", "-o",
                   "Acquire::Retries=5", "--no-install-recommends", "/spillfs.deb")
        except AssertionError as problem:
            if "Unable to fetch" not in str(problem):
                raise
            self.skipTest(f"no packages to be had: {problem}")

    def test_a_clean_system(self):
        deb = self.package()
        root = self.clean_system()
        shutil.copy(deb, root / "spillfs.deb")

        def inside(*words):
            return run("chroot", root, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                       "DEBIAN_FRONTEND=noninteractive", *proxies, *words)

        proxies = [f"{name}={value}" for name, value in os.environ.items()
                   if name.lower().endswith("_proxy")]
        self.fetch(inside)
        inside("apt-get", "install", "--yes", "-qq", "--no-install-recommends", "/spillfs.deb")
        self.assertIn("spillfs ", inside("spillfs", "--version"))
        inside("spillfs", "mount", "/store", "/mnt")
        try:
            (root / "object").write_bytes(b"object" * 1000)
            url = inside("spillfs", "spill", "--config", CONFIG, "/object").strip()
            self.assertIn("/mnt/", url)
            inside("spillfs", "restore", "--config", CONFIG, "-o", "/restored", url)
            self.assertEqual((root / "restored/0").read_bytes(), b"object" * 1000)
        finally:
            inside("spillfs", "umount", "/mnt")
        inside("spillfs", "check", "/store")
        inside("apt-get", "remove", "--yes", "-qq", "spillfs")
        for name in ("usr/bin/spillfs", "usr/sbin/mount.spillfs",
                     "usr/lib/systemd/system/spillfs@.service",
                     "usr/lib/systemd/system/spillfs-clear@.service"):
            with contextlib.suppress(FileNotFoundError):
                os.lstat(root / name)
                self.fail(f"{name} is left behind")


if __name__ == "__main__":
    unittest.main(verbosity=2)
