# SPDX-License-Identifier: Apache-2.0
"""What a user can learn from a directory's offsets where they show XXH3_64bits of the names under a
seed: for names of 4 to 8 bytes all that the seed does is one number, xored to the name before a
mixing that anybody can undo."""
import ctypes
import os
import struct

from support.system_calls import libc

MASK = (1 << 64) - 1
PRIME = 0x9FB21C651E98DF25
PRIME_INVERSE = pow(PRIME, -1, 1 << 64)
SHOWN = 55  # bits of the hash, above 8 that tell names with the same ones apart
GETDENTS64 = 217


def rotate(value, by):
    return (value << by | value >> 64 - by) & MASK


def spread(value):
    return value ^ rotate(value, 49) ^ rotate(value, 24)


def mix(value, length):
    value = spread(value) * PRIME & MASK
    value = (value ^ ((value >> 35) + length)) * PRIME & MASK
    return value ^ value >> 28


def unmix(value, length):
    for shift in (28, 56):
        value ^= value >> shift
    value = value * PRIME_INVERSE & MASK
    value ^= (value >> 35) + length
    value = value * PRIME_INVERSE & MASK
    for _ in range(63):  # 64 times is none
        value = spread(value)
    return value


def as_number(name):
    """Of 4 to 8 bytes."""
    first, last = struct.unpack("<I", name[:4])[0], struct.unpack("<I", name[-4:])[0]
    return last + (first << 32)


def cookies(folder):
    """Names and their offsets."""
    libc.syscall.restype = ctypes.c_long
    found, buffer = {}, ctypes.create_string_buffer(1 << 16)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while (got := libc.syscall(GETDENTS64, fd, buffer, len(buffer))) > 0:
            at = 0
            while at < got:
                _, offset, length = struct.unpack_from("<QqH", buffer, at)
                name = buffer.raw[at + 19:at + length].split(b"\0", 1)[0]
                found[name] = offset & MASK
                at += length
    finally:
        os.close(fd)
    return found


def shown(value):
    return value & (1 << SHOWN) - 1


def find_key(known):
    """What names are xored with, from two or more names of 8 bytes and their offsets; None where
    the offsets are made otherwise."""
    (first, cookie), *others = known.items()
    for high in range(1 << 64 - SHOWN):
        key = as_number(first) ^ unmix(high << SHOWN | cookie >> 8, 8)
        if all(shown(mix(as_number(name) ^ key, 8)) == other >> 8 for name, other in others):
            return key
    return None


def collisions(key, target):
    """Names of 8 bytes that have the offset of `target`, itself not among them."""
    wanted = mix(as_number(target) ^ key, len(target))
    for high in range(1 << 64 - SHOWN):
        number = unmix(high << SHOWN | shown(wanted), 8) ^ key
        name = struct.pack("<II", number >> 32, number & 0xFFFFFFFF)
        if b"\0" not in name and b"/" not in name and name != target:
            yield name
