# SPDX-License-Identifier: Apache-2.0
"""Tries with programs in a mount: run, compiled, databases, git."""

import ctypes
import os
import shutil
import signal
import sqlite3
import subprocess

from support.cases import opened
from tries.table import all_ended, got, make, start, tried


def run(*words, **options):
    return subprocess.run(
        [str(word) for word in words], capture_output=True, check=False, **options
    )


@tried(
    "pantsbuild/pants#10507, linux-test-project/ltp#302, google/gvisor#14395",
    "ETXTBSY of what runs and of what is written",
)
def running_what_is_written(top):
    shutil.copy("/bin/sleep", top / "program")
    running = subprocess.Popen([top / "program", "60"])
    try:
        seen = {
            "write": got(os.open, top / "program", os.O_WRONLY),
            "cut": got(os.truncate, top / "program", 0),
            "unlink": got(os.unlink, top / "program"),
        }
        shutil.copy("/bin/sleep", top / "program")
        with opened(f"/proc/{running.pid}/exe", os.O_RDONLY) as fd:
            seen["old"] = os.fstat(fd).st_nlink
        seen["name"] = os.readlink(f"/proc/{running.pid}/exe").endswith("/program (deleted)")
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    with opened(top / "program", os.O_RDWR):
        seen["open"] = got(lambda: run(top / "program", "0").returncode)
    return {
        **seen,
        "closed": got(lambda: run(top / "program", "0").returncode),
        "not allowed": (
            os.chmod(top / "program", 0o644),
            got(lambda: run(top / "program", "0").returncode),
        ),
    }


@tried(
    "macfuse/macfuse#1181, whoozle/android-file-transfer-linux#137",
    "a script or program is run as soon as it is written",
)
def running_at_once(top):
    seen = []
    for number in range(10):
        make(top / f"s{number}", b"#!/bin/sh\necho $0 $1\n", 0o755)
        done = run(f"./s{number}", number, cwd=top)
        seen.append((done.returncode, done.stdout))
    make(top / "not", b"\x7fELF garbage", 0o755)
    make(top / "no interpreter", b"#!/nowhere/sh\n", 0o755)
    return {
        "seen": seen,
        "not": got(run, top / "not"),
        "no interpreter": got(run, top / "no interpreter"),
    }


@tried("libfuse/libfuse#503", "gcc, which maps its files, does not work in a mount")
def compiling(top):
    if shutil.which("cc") is None:
        return {"skipped": "no compiler"}
    (top / "a.c").write_text("int answer(void) { return 42; }\n")
    (top / "b.c").write_text("int answer(void); int main(void) { return answer(); }\n")
    options = {"cwd": top, "env": {**os.environ, "TMPDIR": str(top)}}
    codes = [
        run("cc", "-c", "a.c", **options).returncode,
        run("ar", "rcs", "liba.a", "a.o", **options).returncode,
        run("cc", "-o", "b", "b.c", "liba.a", **options).returncode,
        run("cc", "-shared", "-fPIC", "-o", "a.so", "a.c", **options).returncode,
    ]
    library = got(ctypes.CDLL, str(top / "a.so"))
    return {
        "codes": codes,
        "run": run(top / "b").returncode,
        "library": library.answer(),
        "names": sorted(os.listdir(top)),
    }


@tried(
    "GoogleCloudPlatform/gcsfuse#539, rclone/rclone#5853, mem9-ai/drive9#387, Doloops/mcachefs#29",
    "git in a mount",
)
def using_git(top):
    if shutil.which("git") is None:
        return {"skipped": "no git"}
    env = {"PATH": os.environ["PATH"], "HOME": str(top), "GIT_CONFIG_NOSYSTEM": "1"}
    for who in ("AUTHOR", "COMMITTER"):
        env |= {
            f"GIT_{who}_NAME": "a",
            f"GIT_{who}_EMAIL": "a@b",
            f"GIT_{who}_DATE": "@1700000000 +0000",
        }
    codes = []

    def git(*words):
        done = run("git", *words, cwd=top, env=env)
        codes.append((words[:3], done.returncode))
        return done.stdout

    git("init", "-q", "one")
    for number in range(5):
        git("-C", "one", "config", f"test.key{number}", str(number))
    for number in range(3):
        (top / f"one/file{number}").write_text(f"{number}\n" * 1000)
        git("-C", "one", "add", ".")
        git("-C", "one", "commit", "-qm", f"change {number}")
    git("clone", "-q", "one", "two")
    links = [os.stat(path).st_nlink for path in sorted((top / "two/.git/objects").glob("??/*"))]
    git("-C", "two", "gc", "-q")
    git("-C", "two", "fsck", "--strict")
    git("-C", "one", "worktree", "add", "-q", "../three", "HEAD~1")
    return {
        "codes": codes,
        "links": links,
        "head": git("-C", "two", "rev-parse", "HEAD"),
        "status": git("-C", "two", "status", "--porcelain"),
        "config": git("-C", "one", "config", "--get-regexp", "test"),
        "three": sorted(os.listdir(top / "three")),
    }


@tried(
    "trapexit/mergerfs#1131, superfly/litefs#123, microsoft/WSL#2395",
    "SQLite, of several processes, with and without WAL",
)
def using_sqlite(top):
    seen = {}
    for mode in ("wal", "delete", "truncate"):
        path = top / f"{mode}.db"

        def work(number, path=path):
            with sqlite3.connect(path, timeout=60) as database:
                for value in range(20):
                    database.execute("insert into t values (?, ?)", (number, value))
                    database.commit()
            database.close()

        database = sqlite3.connect(path)
        seen[mode] = database.execute(f"pragma journal_mode={mode}").fetchall()
        database.execute("pragma mmap_size=1000000")
        database.execute("create table t (a, b)")
        database.commit()
        database.close()
        ended = all_ended([start(lambda number=number: work(number)) for number in range(3)])
        database = sqlite3.connect(path)
        seen[mode] += [
            ended,
            database.execute("select a, count(*), sum(b) from t group by a").fetchall(),
            database.execute("pragma integrity_check").fetchall(),
        ]
        database.close()
    return {**seen, "names": sorted(os.listdir(top))}


@tried("rclone/rclone#4936", "editors that rename the old file, write a new one and delete the old")
def saving_as_editors_do(top):
    path, backup = top / "text", top / "text~"
    make(path, b"first\n", 0o640)
    with opened(path, os.O_RDONLY) as reader:
        for number in range(20):
            os.rename(path, backup)
            with open(path, "xb") as file:
                file.write(b"%d\n" % number)
                os.fchmod(file.fileno(), 0o640)
                os.fsync(file.fileno())
            os.unlink(backup)
        seen = {"old": os.pread(reader, 100, 0)}
    subprocess.run(["sed", "-i", "s/19/in place/", path], check=True)
    return {
        **seen,
        "bytes": path.read_bytes(),
        "mode": oct(os.stat(path).st_mode),
        "names": os.listdir(top),
    }


@tried(
    "apache/spark#45661, ray-project/ray#12271, LMCache/LMCache#1454",
    "files moved to another disk and back, and what du says",
)
def moving_to_another_disk(top):
    (top / "d").mkdir()
    make(top / "d/f", b"x" * 1_000_000)
    os.link(top / "d/f", top / "d/g")
    du = run("du", "-s", "--apparent-size", "--block-size=1", top / "d/f").stdout.split()[0]
    # A directory of its own: where the one is, the other may not be on another disk.
    there = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
    moved_to = f"{there}/spillfs-try-{os.getpid()}"
    codes = [
        run("mv", top / "d", moved_to).returncode,
        run("mv", moved_to, top / "e").returncode,
        got(os.rename, top / "e/f", there + "/x-f"),
    ]
    return {
        "codes": codes,
        "du": du,
        "links": os.stat(top / "e/f").st_nlink,
        "names": sorted(os.listdir(top / "e")),
    }
