# SPDX-License-Identifier: Apache-2.0
"""What a container runtime does with a file system: user namespaces, mounts with ids mapped, and
overlays. In the test's own mount namespace (support.machine.own_mounts)."""
import contextlib
import ctypes
import errno
import os
import signal

from support.system_calls import AT_FDCWD, libc

OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
OPEN_TREE_CLONE, AT_EMPTY_PATH, MOVE_MOUNT_F_EMPTY_PATH = 1, 0x1000, 4
MOUNT_ATTR_IDMAP = 0x00100000
CLONE_NEWUSER, MNT_DETACH = 0x10000000, 2


class _MountAttr(ctypes.Structure):
    _fields_ = [("attr_set", ctypes.c_uint64), ("attr_clr", ctypes.c_uint64),
                ("propagation", ctypes.c_uint64), ("userns_fd", ctypes.c_uint64)]


def _checked(result, name):
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


@contextlib.contextmanager
def user_namespace(inside, outside, count):
    """A descriptor of a namespace whose ids `inside`, … are `outside`, … here."""
    ready, go_on = os.pipe()
    child = os.fork()
    if child == 0:
        ended = libc.unshare(CLONE_NEWUSER)
        os.write(go_on, b"x" if ended == 0 else b"-")
        signal.pause()
    try:
        if os.read(ready, 1) != b"x":
            raise OSError(errno.EPERM, "no user namespaces")
        for kind in ("uid", "gid"):
            with open(f"/proc/{child}/{kind}_map", "w", encoding="ascii") as ids:
                ids.write(f"{inside} {outside} {count}")
        fd = os.open(f"/proc/{child}/ns/user", os.O_RDONLY)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(go_on)
    try:
        yield fd
    finally:
        os.close(fd)


def mount_mapped(source, target, namespace):
    """Mounts `source` once more, on `target`, so that who has an id of the namespace here has the id
    there that it has inside. OSError with EINVAL: the file system can't."""
    tree = _checked(libc.syscall(OPEN_TREE, AT_FDCWD, os.fsencode(source), OPEN_TREE_CLONE),
                    "open_tree")
    try:
        mapping = _MountAttr(attr_set=MOUNT_ATTR_IDMAP, userns_fd=namespace)
        _checked(libc.syscall(MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH, ctypes.byref(mapping),
                              ctypes.sizeof(mapping)), "mount_setattr")
        _checked(libc.syscall(MOVE_MOUNT, tree, b"", AT_FDCWD, os.fsencode(target),
                              MOVE_MOUNT_F_EMPTY_PATH), "move_mount")
    finally:
        os.close(tree)


def mount_overlay(target, lower, upper, work, more=""):
    options = f"lowerdir={lower},upperdir={upper},workdir={work}{more}"
    _checked(libc.mount(b"overlay", os.fsencode(target), b"overlay", 0, options.encode()),
             "mount overlay")


def unmount(target):
    _checked(libc.umount2(os.fsencode(target), MNT_DETACH), "umount2")
