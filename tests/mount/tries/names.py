# SPDX-License-Identifier: Apache-2.0
"""Tries with names: renames, links, long and odd ones, directories."""

import os
import shutil
import stat
import subprocess
import threading

from support.cases import opened
from support.system_calls import EXCHANGE, NOREPLACE, WHITEOUT, rename2
from tries.table import all_ended, got, make, start, tried


def read(path):
    with open(path, "rb") as file:
        return file.read()


def tree(top):
    """Every name below, with its kind and number of links."""
    found = {}
    for folder, folders, files in os.walk(os.fsencode(top)):
        for name in folders + files:
            path = os.path.join(folder, name)
            at = os.lstat(path)
            found[os.path.relpath(path, os.fsencode(top))] = (stat.S_IFMT(at.st_mode), at.st_nlink)
    return found


@tried("GoogleCloudPlatform/gcsfuse#2570", "renaming a file that is open is not supported")
def renaming_what_is_open(top):
    with opened(top / "a", os.O_RDWR | os.O_CREAT) as fd:
        os.write(fd, b"before ")
        seen = {"rename": got(os.rename, top / "a", top / "b")}
        os.write(fd, b"after")
        seen["read"] = (top / "b").read_bytes()
        make(top / "c", b"other")
        seen["over"] = got(os.rename, top / "c", top / "b")
        os.write(fd, b" gone")
        seen["old"] = (os.pread(fd, 100, 0), os.fstat(fd).st_nlink)
        seen["name"] = os.readlink(f"/proc/self/fd/{fd}").endswith("/b (deleted)")
    return {**seen, "bytes": (top / "b").read_bytes(), "names": sorted(os.listdir(top))}


@tried(
    "s3fs-fuse/s3fs-fuse#1453",
    "what is written after a rename has bytes of the file that was renamed",
)
def writing_anew_after_a_rename(top):
    for number in range(20):
        make(top / "f", b"%d" % number * 1000)
        os.rename(top / "f", top / f"f.{number}")
    return {name: (top / name).read_bytes() for name in sorted(os.listdir(top))}


@tried(
    "trapexit/mergerfs#989, seaweedfs/seaweedfs#2068, seaweedfs/seaweedfs#1242",
    "what was renamed is not there at once",
)
def looking_after_a_rename(top):
    seen = []
    make(top / "f0")
    (top / "d0").mkdir()
    make(top / "d0/inside", b"x")
    for number in range(100):
        os.rename(top / f"f{number}", top / f"f{number + 1}")
        os.rename(top / f"d{number}", top / f"d{number + 1}")
        seen.append(
            (
                os.path.exists(top / f"f{number}"),
                os.path.exists(top / f"f{number + 1}"),
                os.listdir(top / f"d{number + 1}"),
                got(os.listdir, top / f"d{number}"),
            )
        )
    return {"seen": seen}


@tried("libfuse/libfuse#637", "opening a name while a rename replaces it is ENOENT")
def opening_while_replaced(top):
    make(top / "f", b"x")
    done = threading.Event()

    def replace():
        for _ in range(300):
            make(top / "new", b"x")
            os.rename(top / "new", top / "f")
        done.set()

    thread = threading.Thread(target=replace)
    thread.start()
    errors = set()
    while not done.is_set():
        errors.add(got(lambda: (top / "f").read_bytes()))
    thread.join()
    return {"seen": errors}


@tried(
    "CurvineIO/curvine#1414, juicedata/juicefs#787", "the flags of renameat2 are ignored or refused"
)
def renaming_with_flags(top):
    (top / "d").mkdir()
    make(top / "d/x")
    make(top / "a", b"a")
    make(top / "b", b"b")
    seen = {
        "no replace": got(rename2, top / "a", top / "b", NOREPLACE),
        "itself": got(rename2, top / "a", top / "a", NOREPLACE),
        "exchange": got(rename2, top / "a", top / "b", EXCHANGE),
        "kinds": got(rename2, top / "a", top / "d", EXCHANGE),
        "missing": got(rename2, top / "a", top / "none", EXCHANGE),
        "both": got(rename2, top / "a", top / "b", EXCHANGE | NOREPLACE),
        "whiteout": got(rename2, top / "b", top / "c", WHITEOUT),
        "whiteout and exchange": got(rename2, top / "c", top / "b", WHITEOUT | EXCHANGE),
        "unknown": got(rename2, top / "c", top / "b", 8),
    }
    return {
        **seen,
        "tree": tree(top),
        "rdev": os.lstat(top / "b").st_rdev,
        "bytes": (top / "d").read_bytes(),
    }


@tried("libfuse/libfuse#695", "rmdir and rename in each other's directories never end")
def removing_and_renaming_at_once(top):
    (top / "a/b").mkdir(parents=True)
    (top / "c").mkdir()

    def work(letter):
        for number in range(100):
            path = top / f"a/b/{letter}{number}"
            path.mkdir()
            os.rename(path, top / f"c/{letter}")
            got(os.rename, top / "c", top / f"a/b/{letter}{number}")  # to where it may not go, too
            got(os.rename, top / f"a/b/{letter}{number}", top / "c")
            os.rmdir(top / f"c/{letter}")

    return {"ended": all_ended([start(lambda: work("x"))]), "tree": tree(top)}


@tried(
    "seaweedfs/seaweedfs#3104, winfsp/winfsp#175", "renames of directories with open files in them"
)
def renaming_directories(top):
    for path in ("a/b/c", "full", "empty"):
        (top / path).mkdir(parents=True)
    make(top / "full/f")
    make(top / "file")
    with opened(top / "a/b/c/open", os.O_RDWR | os.O_CREAT) as fd:
        seen = {
            "into itself": got(os.rename, top / "a", top / "a/b/x"),
            "onto its child": got(os.rename, top / "a", top / "a/b"),
            "onto its parent": got(os.rename, top / "a/b", top / "a"),
            "onto a full one": got(os.rename, top / "a", top / "full"),
            "onto an empty one": got(os.rename, top / "a", top / "empty"),
            "onto a file": got(os.rename, top / "empty", top / "file"),
            "file onto it": got(os.rename, top / "file", top / "empty"),
            "file with a slash": got(os.rename, str(top / "file") + "/", top / "g"),
            "file to a slash": got(os.rename, top / "file", str(top / "g") + "/"),
            "directory to a slash": got(os.rename, top / "full", str(top / "h") + "/"),
            "dot": got(os.rename, top / "h/.", top / "i"),
            "dot dot": got(os.rename, top / "h/..", top / "i"),
        }
        os.write(fd, b"still")
    return {**seen, "tree": tree(top), "bytes": (top / "empty/b/c/open").read_bytes()}


@tried("trapexit/mergerfs#841", "rsync --link-dest makes hard links")
def linking_backups(top):
    (top / "data").mkdir()
    for number in range(20):
        make(top / f"data/{number}", b"x" * number)
    codes = []
    for day, last in (("1", None), ("2", "1"), ("3", "2")):
        os.truncate(top / "data/5", int(day))
        also = [f"--link-dest={top}/{last}/"] if last else []
        codes.append(
            subprocess.run(
                ["rsync", "-a", "--delete", *also, f"{top}/data/", f"{top}/{day}/"], check=False
            ).returncode
        )
    shutil.rmtree(top / "1")
    return {"codes": codes, "tree": tree(top)}


@tried("seaweedfs/seaweedfs#1243, seaweedfs/seaweedfs#3386", "hard links and the number of them")
def counting_links(top):
    (top / "d").mkdir()
    make(top / "a", b"data")
    seen = {
        "link": got(os.link, top / "a", top / "d/b"),
        "present": got(os.link, top / "a", top / "d"),
        "directory": got(os.link, top / "d", top / "e"),
        "missing": got(os.link, top / "none", top / "e"),
        "symlink": (
            os.symlink("a", top / "s"),
            got(os.link, top / "s", top / "s2", follow_symlinks=False),
        ),
    }
    with opened(top / "a", os.O_RDONLY) as fd:
        counts = [os.fstat(fd).st_nlink]
        for step in (
            lambda: os.link(top / "a", top / "c"),
            lambda: os.unlink(top / "a"),
            lambda: os.rename(top / "c", top / "d/b"),  # two names of one file: nothing
            lambda: os.unlink(top / "c"),
            lambda: os.unlink(top / "d/b"),
        ):
            step()
            counts.append(os.fstat(fd).st_nlink)
    return {**seen, "counts": counts, "tree": tree(top)}


@tried("seaweedfs/seaweedfs#1588", "paths as long as paths may be")
def going_deep(top):
    at, depth = os.open(top, os.O_RDONLY), 0
    for depth in range(30):
        os.mkdir("n" * 250, dir_fd=at)
        below = os.open("n" * 250, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    make_at = os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=at)
    os.close(make_at)
    seen = {"depth": depth, "longest": [], "names": os.listdir(at)}
    os.close(at)
    os.chdir(top)
    for length in (4094, 4095, 4096, 4097):  # with the NUL one more
        path = ("n" * 250 + "/") * 15
        seen["longest"].append(
            got(
                lambda path=path, length=length: len(
                    os.listdir(path + "." * (length % 2) + "/" * (length - len(path) - length % 2))
                )
            )
        )
    subprocess.run(["rm", "-rf", top / ("n" * 250)], check=True)
    return {**seen, "left": os.listdir(top)}


@tried("rfjakob/gocryptfs#199, rfjakob/gocryptfs#890", "names of 255 bytes and more")
def using_long_names(top):
    make(top / "f")
    seen = {}
    for length in (255, 256, 300, 5000):
        name = top / ("n" * length)
        seen[length] = [
            got(os.stat, top / ("m" * length)),
            got(os.mkdir, name),
            got(os.rmdir, name),
            got(os.symlink, "x", name),
            got(os.unlink, name),
            got(os.link, top / "f", name),
            got(os.rename, top / "f", name),
            got(os.rename, name, top / "f"),
            got(os.mkfifo, name),
            got(os.setxattr, top / "f", "user." + "n" * (length - 5), b""),
        ]
    letters = "\u65e5" * 85
    make(top / letters)
    return {
        **seen,
        "letters": got(os.mkdir, top / (letters + "\u65e5")),
        "names": sorted(os.listdir(top)),
    }


@tried(
    "harababurel/gcsf#42, dask/distributed#1736",
    "names with letters, bytes and quotes of every kind",
)
def using_odd_names(top):
    root = os.fsencode(top)
    odd = [bytes([n]) for n in range(1, 256) if n not in b"/."]
    odd += [
        b"\xff\xfe",
        b"%28%27a%27%2C%205%29",
        "ders-notlar\u0131".encode(),
        b" ",
        b"a\nb",
        b"...",
        "e\u0301".encode(),
        "\u00e9".encode(),
        b".fuse_hidden0001",
        b"-rf",
        b"CON",
        b"a" * 3 + b" ",
    ]
    for name in set(odd):
        make(os.path.join(root, name), name)
    seen = {"names": sorted(os.listdir(root)) == sorted(set(odd))}
    seen["bytes"] = all(read(os.path.join(root, name)) == name for name in odd)
    seen["empty"] = got(os.mkdir, "")
    seen["dots"] = [got(os.mkdir, top / dots) for dots in (".", "..")]
    for name in set(odd):
        os.unlink(os.path.join(root, name))
    return {**seen, "left": os.listdir(top)}


@tried(
    "cloud-fs/cloud-fs.github.io#560, hanwen/go-mtpfs#103",
    "rmdir of a directory that is not empty removes all in it",
)
def removing_directories(top):
    (top / "a/b").mkdir(parents=True)
    make(top / "f")
    os.symlink("a", top / "s")
    return {
        "full": got(os.rmdir, top / "a"),
        "file": got(os.rmdir, top / "f"),
        "symlink": got(os.rmdir, top / "s"),
        "slash": got(os.rmdir, str(top / "s") + "/"),
        "dot": got(os.rmdir, str(top / "a/b") + "/."),
        "dots": got(os.rmdir, top / "a/b/.."),
        "missing": got(os.rmdir, top / "x"),
        "unlink": got(os.unlink, top / "a"),
        "in a file": got(os.rmdir, top / "f/x"),
        "empty": got(os.rmdir, top / "a/b"),
        "left": tree(top),
    }


@tried(
    "littlefs-project/littlefs-fuse#79, trapexit/mergerfs#521",
    "a directory whose files are unlinked and open is not empty",
)
def removing_what_is_used(top):
    (top / "d").mkdir()
    with opened(make(top / "d/f", b"x"), os.O_RDWR) as fd, opened(
        top / "d", os.O_RDONLY
    ) as directory:
        os.unlink(top / "d/f")
        seen = {
            "names": os.listdir(directory),
            "rmdir": got(os.rmdir, top / "d"),
            "file": os.pread(fd, 5, 0),
        }
        at = os.fstat(directory)
        seen["directory"] = (
            at.st_nlink,
            got(os.listdir, directory),
            got(os.open, "new", os.O_CREAT | os.O_WRONLY, dir_fd=directory),
            got(os.mkdir, "new", dir_fd=directory),
            got(os.stat, ".", dir_fd=directory) is not None,
            got(os.fsync, directory),
            got(os.fchmod, directory, 0o700),
        )
        return seen


@tried("LMCache/LMCache#1981, LMCache/LMCache#2811", "two remove one file, and create one")
def racing_for_a_name(top):
    def race(call):
        results, result = os.pipe()
        all_ended(
            [
                start(lambda: os.write(result, str(got(call)).encode() + b"\n") and None)
                for _ in range(4)
            ]
        )
        os.close(result)
        with open(results, "rb") as file:
            return sorted(
                "done" if line.isdigit() else line.decode() for line in file.read().split()
            )

    make(top / "f")
    return {
        "remove": race(lambda: os.unlink(top / "f")),
        "create": race(lambda: os.open(top / "g", os.O_CREAT | os.O_EXCL)),
        "mkdir": race(lambda: os.mkdir(top / "d")),
        "rename": race(lambda: os.rename(top / "g", top / "h")),
    }
