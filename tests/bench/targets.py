# SPDX-License-Identifier: Apache-2.0
"""What is compared: directories that a benchmark may write to, most of them mounts."""
import os
import pathlib
import shutil
import subprocess
import typing

from support import mounted as m

PROGRAMS = pathlib.Path(os.environ.get("SPILLFS_BENCH_PROGRAMS",
                                       pathlib.Path(m.PROGRAM).resolve().parent / "tests"))


class Directory:
    """A bare directory on the disk that holds everything else as well."""
    kind = "disk"

    def __init__(self, label):
        self.label = label
        self.root = None

    def start(self, root):
        """Makes it, in a directory of its own."""
        self.root = pathlib.Path(root)
        self.root.mkdir(parents=True)

    @property
    def path(self):
        return self.root

    def pids(self):
        """The processes that serve it."""
        return []

    def stop(self):
        shutil.rmtree(self.root, ignore_errors=True)


class Server(Directory):
    """A FUSE server that runs in the foreground."""
    kind = "other"

    def __init__(self, label, command):
        super().__init__(label)
        self.command = command  # {source} and {mount} are filled in
        self.process = None

    @property
    def path(self):
        return self.root / "mount"

    def start(self, root):
        super().start(root)
        source = self.root / "source"
        source.mkdir()
        self.path.mkdir()
        with open(self.root / "log", "ab") as log:
            self.process = subprocess.Popen(
                [word.format(source=source, mount=self.path) for word in self.command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        m.wait_until(lambda: m.is_mounted(self.path) or self.process.poll() is not None, 20,
                     f"{self.label} is mounted")
        if not m.is_mounted(self.path):
            raise AssertionError(f"{self.label}: {(self.root / 'log').read_text()}")

    def pids(self):
        return [self.process.pid]

    def stop(self):
        if self.root and m.is_mounted(self.path):
            subprocess.run(["umount", "-l", self.path], check=False)
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        super().stop()


class Null(Server):
    """What FUSE alone costs; it gives back zeros."""
    kind = "null"

    def __init__(self):
        super().__init__("null", [str(PROGRAMS / "null_server"), "{mount}"])


class Spillfs(Directory):
    kind = "spillfs"

    def __init__(self, label, options):
        super().__init__(label)
        self.options = options
        self.mounted = None

    @property
    def path(self):
        return self.mounted.path

    def start(self, root, more=""):
        super().start(root)
        options = ",".join(word for word in (self.options, more) if word)
        self.mounted = m.Mounted(options, self.root)
        self.mounted.pause = 0.002
        self.mounted.mount()

    def pids(self):
        return [self.mounted.process.pid, self.mounted.worker()]

    def stop(self):
        if self.mounted:
            self.mounted.close()
        super().stop()


class Other(typing.NamedTuple):
    """A FUSE server that is compared where it is installed."""
    command: tuple  # without the program; {source} and {mount} are filled in
    remedy: str  # what to do where it is not


OTHERS = {
    "passthrough_hp": Other(("--foreground", "{source}", "{mount}"),
                            "put the example of libfuse into the PATH"),
    "mergerfs": Other(("-f", "-o", "allow_other", "{source}", "{mount}"), "run 'apt install mergerfs'"),
    "bindfs": Other(("-f", "{source}", "{mount}"), "run 'apt install bindfs'"),
}


def installed(disk_label, spillfs):
    """All targets of this machine; `spillfs` are pairs of label and mount options."""
    targets = [Directory(disk_label), *(Spillfs(*pair) for pair in spillfs), Null()]
    for label, other in OTHERS.items():
        if program := shutil.which(label):
            targets.append(Server(label, [program, *other.command]))
    return targets
