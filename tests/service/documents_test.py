# SPDX-License-Identifier: Apache-2.0
"""The commands of README.md, and those of docs/SERVICE.md that install the package, run the service and
remove it, as they are printed, in a machine of their own. They are taken out of the documents."""
import json
import os
import pathlib
import re
import shutil
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import machine, mounted as m

m.need_fuse()
m.limit_time(170)
machine.own_mounts("systemd-nspawn", "nsenter", "cpack", "dpkg-shlibdeps", "apt")
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
UNIT = "spillfs@spill"


def commands(page, heading):
    """The block below a heading, line by line. Three spaces and more are before what explains it."""
    text = (ROOT / page).read_text(encoding="utf-8").split(heading, 1)[1]
    block = re.search(r"^```\n(.*?)^```$", text, re.M | re.S)[1]
    return [re.split(" {3,}", line)[0] for line in block.splitlines()]


def prepare(root):
    """What is not of this system, and would take long or ask the network."""
    shutil.rmtree(root / "etc/spillfs", ignore_errors=True)
    shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)
    (root / "var/lib/man-db/auto-update").unlink(missing_ok=True)
    if shutil.which("sudo") is None:
        sudo = root / "usr/local/bin/sudo"
        sudo.write_text('#!/bin/sh\nexec "$@"\n')
        sudo.chmod(0o755)


class Documents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if pathlib.Path(m.PROGRAM).resolve() != ROOT / "build/spillfs":
            m.skip("not the build that the documents speak of")
        cls.machine = machine.Machine()
        cls.addClassCleanup(cls.machine.close)
        prepare(cls.machine.root)
        cls.machine.boot(copied=ROOT)
        cls.mount = cls.machine.inside("/mnt/spill")

    def run_all(self, lines):
        """In one shell, in the folder of the sources; to what is asked the answer is yes."""
        script = "\n".join([f"cd {ROOT}", *lines])
        return self.machine.run("bash", "-exc", script, input="y\n").stdout

    def run_there(self, *words):
        return self.machine.run(*words, check=False).stdout.strip()

    def is_mounted(self, path="/mnt/spill"):
        return self.machine.run("mountpoint", "-q", path, check=False).returncode == 0

    def status(self):
        return json.loads((self.mount / ".spillfs/status").read_text())

    def test_used_by_hand(self):
        self.run_all(["mkdir /mnt/by-hand"])
        lines = [line.replace("STORE", "/srv/by-hand").replace("MOUNTPOINT", "/mnt/by-hand")
                 for line in commands("README.md", "## Use it")]
        self.assertEqual(lines.pop(0), "scripts/build")  # which has been run
        for line in lines:
            if line.endswith(" doctor"):
                line += " || [ $? = 1 ]"  # there may be something to find
            said = self.run_all([line])
        self.assertIn("no problems", said, "what the last one says")
        self.assertFalse(self.is_mounted("/mnt/by-hand"))

    def test_from_the_installation_to_the_removal(self):
        self.run_all(commands("README.md", "**As a service**"))
        self.assertEqual(self.run_there("systemctl", "is-active", UNIT), "active")
        (self.mount / "file").write_bytes(b"bytes")
        for command in commands("docs/SERVICE.md", "## The service"):
            with self.subTest(command):
                verb = command.removeprefix("systemctl ").split()[0]
                before = self.status()
                output = self.run_all([command])
                getattr(self, f"after_{verb}")(before, output)
        self.run_there("systemctl", "start", UNIT)
        self.assertEqual((self.mount / "file").read_bytes(), b"bytes")
        self.run_all(commands("docs/SERVICE.md", "## Installing"))
        self.is_removed()

    def test_the_rpm(self):
        """rpm knows nothing of this system, so without what the package needs."""
        if shutil.which("rpmbuild") is None:
            self.skipTest("no rpmbuild")
        self.run_all(["cd build && cpack -G RPM && rpm --install --nodeps spillfs-*.rpm",
                      *commands("README.md", "**As a service**")[1:]])
        self.assertEqual(self.run_there("rpm", "--verify", "--nodeps", "spillfs"), "")
        before = self.status()
        self.run_all(["rpm --upgrade --replacepkgs --nodeps build/spillfs-*.rpm"])
        self.after_reload(before, "")
        self.run_all(["rpm --erase spillfs"])
        self.is_removed()

    def is_removed(self):
        self.assertFalse(self.is_mounted())
        self.assertEqual(self.run_there("systemctl", "cat", UNIT), "")
        self.assertEqual(self.run_there("find", "/usr/bin", "/usr/sbin", "-name", "*spillfs"), "")
        self.assertTrue(self.machine.inside("/etc/spillfs/spill.toml").exists())
        self.assertTrue(self.machine.inside("/var/lib/spillfs/store/store.json").exists())

    def after_enable(self, _, __):
        self.assertEqual(self.run_there("systemctl", "is-enabled", UNIT), "enabled")
        self.assertTrue(self.is_mounted())

    def after_reload(self, before, _):
        m.wait_until(lambda: self.status()["upgrades"] == before["upgrades"] + 1, 30, "the upgrade")
        self.assertEqual(self.status()["supervisor_pid"], before["supervisor_pid"])

    def after_restart(self, before, _):
        self.assertNotEqual(self.status()["supervisor_pid"], before["supervisor_pid"])
        self.assertEqual((self.mount / "file").read_bytes(), b"bytes")

    def after_status(self, _, output):
        self.assertRegex(output, r'Status: "\d+ files')

    def after_journalctl(self, _, output):
        self.assertIn("goes on with the mount on /mnt/spill", output)

    def after_stop(self, _, __):
        self.assertFalse(self.is_mounted())


if __name__ == "__main__":
    unittest.main(verbosity=2)
