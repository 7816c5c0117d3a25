# SPDX-License-Identifier: Apache-2.0
"""What the machine tells about itself: CPU time, memory, file systems, memory cgroups."""
import contextlib
import os
import pathlib
import platform

TICK = os.sysconf("SC_CLK_TCK")
CGROUPS = pathlib.Path("/sys/fs/cgroup")


def cpu_of(pids):
    """Seconds that these processes have used so far."""
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def busy_seconds():
    """CPU time of everything, the kernel's own threads included."""
    fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, _steal = map(int, fields)
    return (user + nice + system + irq + softirq) / TICK


def drop_caches(what):
    """"1" pages, "2" names and inodes, "3" both. False where that is not ours to do."""
    os.sync()
    try:
        pathlib.Path("/proc/sys/vm/drop_caches").write_text(what)
    except OSError:
        return False
    return True


def resident_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def written_bytes(pid):
    """What a process has handed to write(2) and its like, whatever they wrote to."""
    return int(pathlib.Path(f"/proc/{pid}/io").read_text().split("wchar:")[1].split()[0])


def file_system(path):
    """The type of the file system that holds `path`."""
    path, best, kind = str(pathlib.Path(path).resolve()), "", "disk"
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, where, found = line.split()[:3]
        inside = where == "/" or path == where or path.startswith(where + "/")
        if inside and len(where) >= len(best):
            best, kind = where, found
    return kind


def describe(directory):
    cpus = [line.split(":", 1)[1].strip()
            for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {"kernel": platform.release(), "machine": platform.machine(),
            "CPUs": f"{os.cpu_count()} × {cpus[0] if cpus else 'unknown'}",
            "memory": f"{memory / 2**30:.1f} GiB", "file system": file_system(directory)}


class NoMemoryController(Exception):
    """This machine has no memory cgroup that we may make."""


@contextlib.contextmanager
def memory_cgroup(limit):
    """A new memory cgroup (version 1 or 2) of `limit` bytes; its path."""
    if (CGROUPS / "memory").is_dir():
        parent, file = CGROUPS / "memory", "memory.limit_in_bytes"
    elif (CGROUPS / "cgroup.controllers").exists():
        parent, file = CGROUPS, "memory.max"
    else:
        raise NoMemoryController("no memory controller under /sys/fs/cgroup")
    group = parent / f"spillfs-bench-{os.getpid()}"
    try:
        if file == "memory.max":
            (parent / "cgroup.subtree_control").write_text("+memory")
        group.mkdir()
        (group / file).write_text(str(limit))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        raise NoMemoryController(str(error)) from error
    try:
        yield group
    finally:
        with contextlib.suppress(OSError):
            group.rmdir()
