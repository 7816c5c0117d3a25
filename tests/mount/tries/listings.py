# SPDX-License-Identifier: Apache-2.0
"""Tries with listings: positions, entries that vanish, events."""

import ctypes
import os
import select
import shutil
import struct
import threading

from support.cases import opened
from support.system_calls import libc
from tries.table import got, make, tried


class Entry(ctypes.Structure):
    _fields_ = [
        ("ino", ctypes.c_uint64),
        ("offset", ctypes.c_int64),
        ("length", ctypes.c_ushort),
        ("kind", ctypes.c_ubyte),
        ("name", ctypes.c_char * 256),
    ]


class Listing:
    """A directory as opendir(3) reads it: with positions."""

    def __init__(self, path):
        self.c = libc
        self.c.opendir.restype = self.c.readdir.restype = ctypes.c_void_p
        self.c.telldir.restype = ctypes.c_long
        self.stream = ctypes.c_void_p(self.c.opendir(os.fsencode(path)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.c.closedir(self.stream)

    def next(self):
        found = self.c.readdir(self.stream)
        return Entry.from_address(found) if found else None

    def names(self):
        found = []
        while (entry := self.next()) is not None:
            found.append(bytes(entry.name))
        return found

    def tell(self):
        return self.c.telldir(self.stream)

    def seek(self, position):
        self.c.seekdir(self.stream, ctypes.c_long(position))

    def rewind(self):
        self.c.rewinddir(self.stream)


def fill(top, count):
    for number in range(count):
        make(top / f"{number:04}")


@tried("libfuse/libfuse#65, libfuse/libfuse#269", "seekdir goes to the wrong entry, or crashes")
def seeking_in_listings(top):
    fill(top, 500)
    with Listing(top) as listing:
        positions, names = [], []
        while True:
            positions.append(listing.tell())
            entry = listing.next()
            if entry is None:
                break
            names.append(bytes(entry.name))
        right = []
        for at in (0, 1, 2, 7, 250, 400, 501):
            listing.seek(positions[at])
            right.append(listing.names() == names[at:])
        os.unlink(top / os.fsdecode(names[300]))
        listing.seek(positions[250])
        right.append(set(listing.names()) - {names[300]} == set(names[250:]) - {names[300]})
        listing.rewind()
        right.append(len(listing.names()))
    return {"right": right, "count": len(set(names))}


@tried(
    "trapexit/mergerfs#468, tavianator/bfs#67, libfuse/pyfuse3#31",
    "deleting while listing skips entries",
)
def deleting_while_listing(top):
    fill(top, 1000)
    with Listing(top) as listing:
        seen = 0
        while (entry := listing.next()) is not None:
            name = os.fsdecode(bytes(entry.name))
            if name not in (".", ".."):
                os.unlink(top / name)
                seen += 1
    for folder in ("a/b/c", "a/d"):
        (top / folder).mkdir(parents=True)
        fill(top / folder, 100)
    shutil.rmtree(top / "a")
    return {"seen": seen, "left": os.listdir(top)}


@tried(
    "GoogleCloudPlatform/gcsfuse#2220", "listing while files are made and renamed is an I/O error"
)
def listing_while_writing(top):
    fill(top, 300)
    done = threading.Event()

    def work():
        for number in range(200):
            make(top / f"new{number}")
            os.rename(top / f"new{number}", top / f"other{number}")
            os.unlink(top / f"other{number}")
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    twice, missing = 0, 0
    while not done.is_set():
        names = os.listdir(top)
        stay = [name for name in names if name.isdigit()]
        twice += len(stay) - len(set(stay))
        missing += 300 - len(set(stay))
    thread.join()
    return {"twice": twice, "missing": missing}


@tried(
    "trapexit/mergerfs#606, seaweedfs/seaweedfs#8404",
    "what a listing says of an entry is not what stat says",
)
def listing_what_stat_says(top):
    (top / "d").mkdir()
    make(top / "f")
    os.link(top / "f", top / "g")
    os.symlink("f", top / "s")
    os.mkfifo(top / "p")
    kinds, right = {}, []
    with Listing(top) as listing:
        while (entry := listing.next()) is not None:
            name = os.fsdecode(bytes(entry.name))
            kinds[name] = entry.kind
            if name != "..":
                right.append(entry.ino == os.lstat(top / name).st_ino)
    return {
        "kinds": kinds,
        "numbers": all(right),
        "dots": os.stat(top / "d/..").st_ino == os.stat(top).st_ino,
        "device": os.stat(top / "f").st_dev == os.stat(top).st_dev,
    }


@tried("rfjakob/gocryptfs#587", "fsync of a directory is not supported")
def syncing_directories(top):
    (top / "d").mkdir()
    make(top / "d/f")
    with opened(top / "d", os.O_RDONLY) as fd, opened(top / "d", os.O_PATH) as path:
        return {
            "fsync": got(os.fsync, fd),
            "fdatasync": got(os.fdatasync, fd),
            "path": got(os.fsync, path),
            "read": got(os.read, fd, 10),
            "write": got(os.write, fd, b"x"),
            "end": got(os.lseek, fd, 0, os.SEEK_END) is not None,
        }


def events_of(watch):
    found = []
    while select.select([watch], [], [], 0.2)[0]:
        data = os.read(watch, 65536)
        while data:
            _, mask, _, length = struct.unpack("iIII", data[:16])
            found.append((mask, data[16 : 16 + length].rstrip(b"\0")))
            data = data[16 + length :]
    return found


@tried(
    "facebook/watchman#831, libfuse/libfuse#328, gorakhargosh/watchdog#924",
    "no inotify events from a mount",
)
def watching(top):
    watch = libc.inotify_init1(os.O_NONBLOCK)
    libc.inotify_add_watch(watch, os.fsencode(top), 0xFFF)
    make(top / "f", b"x")
    os.truncate(top / "f", 0)
    os.chmod(top / "f", 0o600)
    os.link(top / "f", top / "g")
    os.rename(top / "f", top / "h")
    os.replace(top / "g", top / "h")
    (top / "d").mkdir()
    os.symlink("x", top / "s")
    os.setxattr(top / "h", "user.a", b"")
    (top / "h").read_bytes()
    os.unlink(top / "h")
    os.rmdir(top / "d")
    seen = {"events": events_of(watch)}
    os.close(watch)
    return seen
