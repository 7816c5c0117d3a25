# SPDX-License-Identifier: Apache-2.0
"""Tries with what is no plain file: symlinks, pipes, sockets, files without names, or read-only."""

import os
import socket
import stat

from support.cases import opened
from support.system_calls import link_open
from support.users import as_user
from tries.names import tree
from tries.table import ALICE, got, make, tried


@tried(
    "seaweedfs/seaweedfs#1425, rclone/rclone#4066, rclone/rclone#8367",
    "symlinks, how long they may be, and their times",
)
def making_symlinks(top):
    seen = {
        length: got(os.symlink, "t" * length, top / f"l{length}")
        for length in (1, 59, 60, 255, 1000, 4094, 4095, 4096, 5000)
    }
    seen["empty"] = got(os.symlink, "", top / "empty")
    seen["read"] = [len(os.readlink(top / name)) for name in sorted(os.listdir(top))]
    seen["sizes"] = [os.lstat(top / name).st_size for name in sorted(os.listdir(top))]
    os.symlink("loop", top / "loop")
    seen["loop"] = (
        got(os.stat, top / "loop"),
        got(os.open, top / "loop", os.O_RDONLY | os.O_NOFOLLOW),
    )
    os.utime(top / "loop", ns=(0, 1), follow_symlinks=False)
    seen["times"] = os.lstat(top / "loop").st_mtime_ns
    seen["chmod"] = got(os.chmod, top / "l1", 0o600)
    seen["chown"] = (got(os.lchown, top / "l1", 4001, 4002), os.lstat(top / "l1").st_uid)
    seen["xattr"] = got(os.setxattr, top / "l1", "user.a", b"", follow_symlinks=False)
    seen["trusted"] = got(os.setxattr, top / "l1", "trusted.a", b"", follow_symlinks=False)
    os.chmod(make(top / "l1", b"through"), 0o600)
    seen["through"] = sorted(os.listdir(top))
    seen["not a link"] = got(os.readlink, top / "t")
    return seen


@tried("libfuse/libfuse#1071, NixOS/nix#14831", "O_TMPFILE and the name that linkat gives it")
def making_files_without_names(top):
    with opened(top, os.O_RDWR | os.O_TMPFILE, 0o640) as fd, opened(
        top, os.O_WRONLY | os.O_TMPFILE | os.O_EXCL, 0o640
    ) as never:
        os.write(fd, b"data")
        seen = {
            "nlink": os.fstat(fd).st_nlink,
            "names": os.listdir(top),
            "link": got(link_open, fd, top / "f"),
            "again": got(link_open, fd, top / "g"),
            "present": got(link_open, fd, top / "f"),
            "exclusive": got(link_open, never, top / "h"),
            "after": os.fstat(fd).st_nlink,
            "proc": os.readlink(f"/proc/self/fd/{never}").endswith(" (deleted)"),
        }
    seen["read only"] = got(os.open, top, os.O_RDONLY | os.O_TMPFILE)
    seen["file"] = got(os.open, top / "f", os.O_RDWR | os.O_TMPFILE)
    with opened(top / "f", os.O_RDWR) as fd:
        os.unlink(top / "f")
        os.unlink(top / "g")
        seen["unlinked"] = got(link_open, fd, top / "back")
    return {**seen, "left": tree(top)}


@tried(
    "libfuse/libfuse#1475, CurvineIO/curvine#1264, google/gvisor#1681",
    "sockets and pipes in a mount",
)
def making_sockets_and_pipes(top):
    server = socket.socket(socket.AF_UNIX)
    os.chdir(top)
    with server:
        seen = {"bind": got(server.bind, "s"), "mode": stat.filemode(os.stat("s").st_mode)}
        server.listen()
        with socket.socket(socket.AF_UNIX) as client:
            seen["connect"] = got(client.connect, "s")
            near, _ = server.accept()
            with near:
                near.send(b"hello")
                seen["received"] = client.recv(10)
        os.rename("s", "t")
        with socket.socket(socket.AF_UNIX) as client:
            seen["renamed"] = got(client.connect, "t")
    with socket.socket(socket.AF_UNIX) as client:
        seen["again"] = got(client.connect, "t")
    seen["open"] = got(os.open, "t", os.O_RDONLY)
    os.mkfifo("p", 0o600)
    seen["no reader"] = got(os.open, "p", os.O_WRONLY | os.O_NONBLOCK)
    with opened("p", os.O_RDONLY | os.O_NONBLOCK) as reader, opened("p", os.O_WRONLY) as writer:
        os.write(writer, b"through")
        seen["pipe"] = (os.read(reader, 100), os.fstat(reader).st_size, got(os.lseek, reader, 0, 0))
    seen["truncate"] = got(os.truncate, "p", 0)
    return seen


@tried(
    "trapexit/mergerfs#343, trapexit/mergerfs#626",
    "creating a file with mode 0444 to write it is EACCES",
)
def creating_read_only_files(top):
    os.chmod(top, 0o777)

    def create():
        with opened(top / "f", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o444) as fd:
            os.write(fd, b"object")
            seen = [
                got(os.open, top / "f", os.O_WRONLY),
                got(os.ftruncate, fd, 3),
                got(os.truncate, top / "f", 1),
                got(os.fchmod, fd, 0),
            ]
            os.write(fd, b"more")
            seen += [
                os.pread(fd, 20, 0),
                got(os.open, top / "f", os.O_RDONLY),
                os.access(top / "f", os.R_OK),
                got(os.open, f"/proc/self/fd/{fd}", os.O_RDONLY),
            ]
            return seen

    return {"seen": as_user(ALICE, create)}


@tried("rk8s-dev/rk8s#325, macfuse/macfuse#1181", "opening what is of another kind")
def opening_by_kind(top):
    (top / "d").mkdir()
    make(top / "f")
    os.symlink("f", top / "s")
    os.symlink("nowhere", top / "n")
    flags = {
        "read": os.O_RDONLY,
        "write": os.O_WRONLY,
        "create": os.O_RDONLY | os.O_CREAT,
        "exclusive": os.O_RDWR | os.O_CREAT | os.O_EXCL,
        "directory": os.O_RDONLY | os.O_DIRECTORY,
        "no follow": os.O_RDONLY | os.O_NOFOLLOW,
        "path": os.O_PATH | os.O_NOFOLLOW,
        "cut": os.O_RDONLY | os.O_TRUNC,
        "create directory": os.O_CREAT | os.O_DIRECTORY,
        "direct": os.O_RDONLY | os.O_DIRECT,
        "no times": os.O_RDONLY | os.O_NOATIME,
    }
    seen = {}
    for name in ("d", "f", "s", "f/", "f/x", "none/x", "new/"):
        for kind, flag in flags.items():
            fd = got(os.open, f"{top}/{name}", flag)
            seen[f"{kind} {name}"] = fd if isinstance(fd, str) else os.close(fd)
    return {**seen, "dangling": got(os.open, top / "n", os.O_CREAT | os.O_EXCL), "tree": tree(top)}
