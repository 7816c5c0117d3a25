# SPDX-License-Identifier: Apache-2.0
"""Compares a store after a loss of power with what was promised."""
import collections
import contextlib
import errno
import os
import re
import shutil

from disk import file_system, m, run

IDENTITY = "user.spillfs.identity"

EXPECTED = "file system: "  # lost by an ext4 without a journal, as its fsck says


def is_expected(what):
    return what.startswith(EXPECTED)


def read(path):
    """The file's bytes, or None, and the error's number."""
    try:
        return path.read_bytes(), 0
    except OSError as error:
        return None, error.errno


class Repairs:
    """What fsck had to change in a store's files. An ext4 without a journal does not order what it
    writes: a file that was synced and has got a new extent block since may be lost as a whole, and so
    may one whose block an older inode on disk still claims."""

    def __init__(self, said, store):
        inodes = {int(number) for number in re.findall(r"[Ii]node #?(\d+)", said)}
        segments = store / "segments"
        self.names = set(re.findall(r"(\d+\.(?:private|fused))", said))
        self.names |= {entry.name for entry in os.scandir(segments) if entry.inode() in inodes}
        others = [store, segments, store / "index", *(store / "index").iterdir()]
        self.index = any(os.stat(path).st_ino in inodes for path in others)
        self.of_inodes = collections.defaultdict(set)  # of the mount -> names of segments
        for name in os.listdir(segments):
            with contextlib.suppress(OSError):
                identity = os.getxattr(segments / name, IDENTITY)  # magic, store, inode, …
                self.of_inodes[int(identity.split()[2])].add(name)

    def touch(self, text):
        """Whether they changed a segment that `text` speaks of, or one that a text said is that of the
        inode it speaks of."""
        inode = re.search(r"inode (\d+)", text)
        names = self.of_inodes[int(inode[1])] if inode else set()
        names |= set(re.findall(r"segments/(\d+\.\w+)", text))
        for number in re.findall(r"segment (\d+)", text):
            names |= {f"{number}.private", f"{number}.fused"}
        return not names.isdisjoint(self.names)


class Verifier:
    """Finds (class, text) for everything that breaks a promise."""

    def __init__(self, history, options, folder, journal):
        self.history, self.options, self.folder = history, options, folder
        self.journal = journal
        self.files = {file.inode: file for folder in history.folders
                      for file in folder.files.values()}
        self.found, self.repairs = [], None

    def find(self, what, text):
        """Notes a broken promise, and whether it was not spillfs that broke it."""
        if self.repairs.index or self.repairs.touch(text):
            what = "file system: " + what
        self.found.append((what, text))

    def verify(self, image, position):
        self.found = []
        said = run("fsck.ext4", "-y", image, good=(0, 1, 2))
        with file_system(image, self.folder / "ext4") as disk:
            # To the machine nothing has happened.
            store = m.Mounted(self.options + ",boot=new", self.folder)
            store.pause = 0.01
            store.store = disk / "store"
            self.repairs = Repairs("" if self.journal else said, store.store)
            try:
                self.check(store, position, "--boot", "new")
                store.mount()
                self.compare(store.path, position)
                self.go_on(store.path / "later")
                store.umount()
                self.check(store, position)
            except AssertionError as error:
                self.find("mount", str(error))
            finally:
                end(store)
        return self.found

    def check(self, store, position, *options):
        done = m.spillfs("check", store.store, *options)
        if done.returncode not in (0, 1):
            self.find("check", f"exit code {done.returncode}: {done.stderr}")
        for line in done.stderr.splitlines() if done.returncode == 1 else ():
            inode = re.search(r"inode (\d+)", line)
            file = self.files.get(int(inode[1])) if inode else None
            group = (file.group(position)[0] if file else
                     "stray" if "belongs to no segment" in line else "check")
            self.find(f"{group}: check", line)

    def compare(self, path, position):
        synced = self.history.synced(position)
        for folder in self.history.folders:
            # Meanwhile the mount removes what the power took.
            found = {entry.name: entry.inode() for entry in os.scandir(path / folder.name)}
            self.compare_names(folder, found, position, synced)
            for name, inode in found.items():
                self.compare_file(path / folder.name / name, self.files.get(inode), position)

    def compare_names(self, folder, found, position, synced):
        states = [{name: folder.files[file].inode for name, file in state.items()}
                  for state in folder.may_be(position, synced)]
        if any(self.is_left_of(state, found, position) for state in states):
            return
        best = min(states, key=lambda state: len(state.items() ^ found.items()))
        for name, inode in best.items() - found.items():
            group = self.files[inode].group(position)[0]
            self.find(f"names: {group} file is gone", f"{folder.name}/{name}")
        for name, inode in found.items() - best.items():
            what = "comes back" if inode in self.files else "nobody made"
            self.find(f"names: {what}", f"{folder.name}/{name}, inode {inode}")

    def is_left_of(self, state, found, position):
        """Whether the state's names are there, save some of files that have never been synced."""
        return found.items() <= state.items() and all(
            self.files[inode].group(position)[0] == "unsynced"
            for _, inode in state.items() - found.items())

    def compare_file(self, path, file, position):
        if file is None:
            return
        data, error = read(path)
        if error == errno.ENOENT and file.group(position)[0] == "unsynced":
            return
        wrong = file.judge(position, data)
        if wrong:
            events = [f"{event.kind} {event.span.start}-{event.span.end} {event.content.size}"
                      for event in file.events if event.span.start <= position]
            self.find(wrong[0], f"{path.name}, inode {file.inode}: {wrong[1]}{os.strerror(error) if error else ''}; "
                      f"power lost at {position}: " + "; ".join(events[-6:]))

    def go_on(self, folder):
        """The store takes new files after what it has been through."""
        try:
            folder.mkdir()
            for number, size in enumerate((100, 5000, 300_000, 1 << 20) * 2):
                data = bytes([number + 1]) * size
                (folder / str(number)).write_bytes(data)
                if (folder / str(number)).read_bytes() != data:
                    self.find("later files: wrong bytes", f"{size} bytes")
            shutil.rmtree(folder)
        except OSError as error:
            self.find("later files: " + os.strerror(error.errno), str(error))


def end(store):
    """Ends the mount; the folder stays."""
    if store.process is not None and not store.ended():
        store.kill()
    if m.is_mounted(store.path):
        run("umount", "-l", store.path)
