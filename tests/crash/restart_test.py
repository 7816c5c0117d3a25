# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of the serving process under load, again and again: no client sees an error, a file with other
bytes, a name too many or too few. SPILLFS_KILLS says how often."""
import os
import random
import sys
import time

sys.path[:0] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                os.path.dirname(os.path.abspath(__file__))]
import restart_load as load
from support import mounted as m

m.need_fuse()
KILLS = int(os.environ.get("SPILLFS_KILLS", "12"))
m.limit_time(120 + 10 * KILLS)


def kill_again_and_again(store, clients):
    chance = random.Random(3)
    for number in range(KILLS):
        time.sleep(0.7 + chance.random())
        store.kill_worker()
        for client in clients:
            assert not client.failures, f"kill {number + 1}: {client.failures}"


def main():
    store = m.Mounted("fuse_limit=1MiB,segment_size=8MiB")
    try:
        store.mount()
        if not store.goes_on():
            m.skip("this kernel can't send requests again")
        folder = str(store.path)
        clients = [load.Files(folder, 1), load.Files(folder, 2), load.Files(folder, 3),
                   load.Names(folder, 4), load.Mapped(folder, 5), load.Open(folder, 6)]
        for client in clients:
            client.start()
        kill_again_and_again(store, clients)
        for client in clients:
            client.stop = True
        for client in clients:
            client.join(60)
            assert not client.is_alive(), f"{client.name} hangs"
            assert not client.failures, client.failures
            assert client.steps > KILLS, f"{client.name} did nothing"
            print(f"{client.name}: {client.steps} steps, the longest {client.longest:.2f} s")
        assert store.status()["restarts"] == KILLS
        store.umount()
        store.check()
        store.check_log()
        print(f"{KILLS} kills")
    except BaseException:
        print(store.log()[-6000:], file=sys.stderr)
        raise
    finally:
        store.close()


main()
