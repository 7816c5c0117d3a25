# SPDX-License-Identifier: Apache-2.0
"""What the Ray tests put into an object store that is too small for it."""
import hashlib
import os

import numpy as np

STORE = 80 << 20
OBJECT = 8 << 20


def make(number):
    return np.random.default_rng(number).integers(0, 256, OBJECT, dtype=np.uint8)


def digest(array):
    return hashlib.blake2b(array, digest_size=16).digest()


def spilled_files(path):
    return [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
