# SPDX-License-Identifier: Apache-2.0
"""A file system of its own for a test, so that what fills it fills nothing else."""
import contextlib
import os
import pathlib
import subprocess
import tempfile

from support import mounted as m


@contextlib.contextmanager
def ext4(mib):
    """A mounted ext4 of that size in a sparse image; skips where the machine has no loop devices."""
    with tempfile.TemporaryDirectory(prefix="spillfs-disk-") as folder:
        image, root = pathlib.Path(folder, "image"), pathlib.Path(folder, "disk")
        root.mkdir()
        with open(image, "wb") as file:
            file.truncate(mib << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
        # No thread of the kernel writes inode tables while something is measured.
        done = subprocess.run(["mount", "-o", "loop,noinit_itable", image, root],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            m.skip(f"no disk of our own: {done.stderr}")
        os.chmod(folder, 0o755)
        try:
            yield root
        finally:
            subprocess.run(["umount", "-l", root], check=True)
