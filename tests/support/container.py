# SPDX-License-Identifier: Apache-2.0
"""Programs that see what a container's do: in namespaces of their own, by unshare(1), or in a
container of systemd-nspawn. For a test that has a mount namespace of its own (machine.own_mounts):
what is mounted here is undone here."""
import contextlib
import pathlib
import shutil
import subprocess
import tempfile

from support import machine
from support import mounted as m

BOOT_ID = "/proc/sys/kernel/random/boot_id"
ANOTHER_BOOT = "00000000-0000-4000-8000-000000000000"


def words(*command, mounts=False, pids=False, boottime=None, bound=()):
    """The command with new namespaces around it. `boottime`: a time namespace that many seconds
    later; `bound`: pairs of a path and the one that lies over it, for the command alone."""
    unshare = ["unshare"]
    if mounts or pids or bound:
        unshare += ["--mount", "--propagation", "private"]
    if pids:
        unshare += ["--pid", "--fork", "--mount-proc", "--kill-child"]
    if boottime is not None:
        unshare += ["--time", "--boottime", str(boottime), "--fork", "--kill-child"]
    script = "".join(f"mount --bind '{source}' '{target}' && " for source, target in bound)
    return [*unshare, "--", "sh", "-c", script + 'exec "$@"', "sh", *map(str, command)]


def run(*command, user=None, **namespaces):
    """Runs it to its end, its output as text; skips where this machine has no such namespaces."""
    need(**namespaces)
    return subprocess.run(words(*command, **namespaces), capture_output=True, text=True,
                          timeout=120, check=False, user=user)


def need(**namespaces):
    namespaces.pop("bound", None)
    done = subprocess.run(words("true", **namespaces), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        m.skip(f"this machine has no such namespaces: {done.stderr}")


@contextlib.contextmanager
def another_boot_id(folder, boot_id=ANOTHER_BOOT):
    """For this process and its children another boot id lies over the machine's."""
    source = pathlib.Path(folder) / "boot_id"
    source.write_text(boot_id + "\n")
    machine.run("mount", "--bind", source, BOOT_ID)
    try:
        yield
    finally:
        machine.run("umount", BOOT_ID)


class Nspawn:
    """A container of systemd-nspawn over this machine's root, whose changes stay in memory. Its
    processes, boot id and mounts are its own. Skips where there is none."""

    def __init__(self):
        if shutil.which("systemd-nspawn") is None:
            m.skip("this machine has no systemd-nspawn")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-container-"))
        machine.run("mount", "-t", "tmpfs", "tmpfs", self.folder)
        self.root = self.folder / "root"
        for name in ("upper", "work", "root"):
            (self.folder / name).mkdir()
        machine.run("mount", "-t", "overlay", "overlay", "-o",
                    f"lowerdir=/,upperdir={self.folder}/upper,workdir={self.folder}/work",
                    self.root)
        done = self.run("true")
        if done.returncode != 0:
            self.close()
            m.skip(f"systemd-nspawn does not work here: {done.stderr}")

    def run(self, *command, bound=()):
        """`bound` paths are this side's, wherever they are here."""
        return subprocess.run(
            ["systemd-nspawn", "--quiet", f"--directory={self.root}", "--register=no",
             "--keep-unit", "--link-journal=no", "--console=pipe",
             *(f"--bind={path}" for path in bound), *map(str, command)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)

    def close(self):
        for path in (self.root, self.folder):
            subprocess.run(["umount", "--lazy", path], check=False)
        with contextlib.suppress(OSError):
            self.folder.rmdir()
