# SPDX-License-Identifier: Apache-2.0
"""Objects that one raylet spilled to the mount reach a task on another raylet."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m

m.need_fuse()
m.run_with_ray()
m.limit_time(300)

from support import ray_objects
from support.ray_objects import STORE, digest, make, spilled_files

import ray
from ray.cluster_utils import Cluster

ray.cloudpickle.register_pickle_by_value(ray_objects)  # the other raylet's workers lack the module
digest_there = ray.remote(num_cpus=1, resources={"other": 0.01})(digest)


def main(path):
    cluster = Cluster(initialize_head=True, head_node_args={
        "num_cpus": 0, "object_store_memory": STORE, "object_spilling_directory": path,
        "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1, resources={"other": 1}, object_store_memory=STORE)
        ray.init(address=cluster.address, log_to_driver=False)
        arrays = [make(number) for number in range(30)]
        sums = [digest(array) for array in arrays]
        refs = [ray.put(array) for array in arrays]
        spilled = spilled_files(path)
        assert spilled, "nothing was spilled"
        print(f"== {len(spilled)} files on the mount; the other raylet reads them", flush=True)
        for number, ref in enumerate(refs):
            got = ray.get(digest_there.remote(ref), timeout=60)
            assert got == sums[number], f"object {number} differs"
        print(f"== {len(refs)} objects arrived", flush=True)
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    with m.mounted() as store:
        main(str(store.path))
