# SPDX-License-Identifier: Apache-2.0
"""Tries with extended attributes."""

import ctypes
import errno
import os

from support.system_calls import libc
from support.users import as_user
from tries.table import ALICE, got, make, tried


@tried("juicedata/juicefs#770", "the flags of setxattr are ignored")
def setting_xattrs_with_flags(top):
    make(top / "f")
    seen = {
        "replace none": got(os.setxattr, top / "f", "user.a", b"1", os.XATTR_REPLACE),
        "create": got(os.setxattr, top / "f", "user.a", b"2", os.XATTR_CREATE),
        "create again": got(os.setxattr, top / "f", "user.a", b"3", os.XATTR_CREATE),
        "replace": got(os.setxattr, top / "f", "user.a", b"4", os.XATTR_REPLACE),
        "both": got(os.setxattr, top / "f", "user.b", b"", os.XATTR_CREATE | os.XATTR_REPLACE),
        "value": os.getxattr(top / "f", "user.a"),
        "empty": got(os.setxattr, top / "f", "user.e", b""),
    }
    return {
        **seen,
        "list": sorted(os.listxattr(top / "f")),
        "none": got(os.getxattr, top / "f", "user.x"),
        "remove none": got(os.removexattr, top / "f", "user.x"),
        "read": got(os.getxattr, top / "f", "user.e"),
    }


@tried(
    "ceph/ceph#46357, iustin/pyxattr#23, python/cpython#127176",
    "how large and how many xattrs may be",
    large=None,
    many=None,
)
def filling_xattrs(top):
    make(top / "f")
    make(top / "g")
    seen = {
        "small": got(os.setxattr, top / "f", "user.a", b"x" * 3000),
        "large": got(os.setxattr, top / "f", "user.a", b"x" * 65536),
        "too large": got(os.setxattr, top / "f", "user.a", b"x" * 65537),
    }
    outcomes = {got(os.setxattr, top / "g", f"user.{number}", b"x" * 100) for number in range(100)}
    seen["many"] = None if outcomes == {None} else sorted(filter(None, outcomes))
    return seen


@tried(
    "jacobsa/fuse#72, dosemu2/dosemu2#2931",
    "listxattr and getxattr with buffers that are too small",
)
def asking_for_xattrs(top):
    os.setxattr(make(top / "f"), "user.name", b"value")
    path, seen = os.fsencode(top / "f"), {}
    for size in (0, 1, 4, 5, 9, 10, 11, 100):
        buffer = ctypes.create_string_buffer(200)
        for name, call in (
            ("get", lambda: libc.getxattr(path, b"user.name", buffer, size)),
            ("list", lambda: libc.listxattr(path, buffer, size)),
        ):
            result = call()
            seen[f"{name} {size}"] = (
                errno.errorcode[ctypes.get_errno()] if result < 0 else (result, buffer.value)
            )
    return seen


@tried("CurvineIO/curvine#1266", "xattrs of pipes, devices and namespaces that there are not")
def setting_xattrs_by_kind(top):
    os.mkfifo(top / "p")
    (top / "d").mkdir()
    make(top / "f")
    seen = {}
    for name in (
        "user.a",
        "trusted.a",
        "security.a",
        "system.a",
        "other.a",
        "user.",
        "user",
        "",
        "user." + "n" * 250,
        "user." + "n" * 251,
    ):
        for what in "pdf":
            seen[f"{what} {name}"] = got(os.setxattr, top / what, name, b"v")
    os.chmod(top, 0o755)

    def as_alice():
        return [
            got(os.setxattr, top / "f", "user.b", b""),
            got(os.setxattr, top / "f", "trusted.b", b""),
            got(os.getxattr, top / "f", "trusted.a"),
            sorted(os.listxattr(top / "f")),
            got(os.removexattr, top / "f", "user.a"),
        ]

    return {**seen, "alice": as_user(ALICE, as_alice)}
