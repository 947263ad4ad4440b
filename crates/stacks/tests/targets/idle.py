"""Idle threads, as many as the first argument says: asleep, or waiting for work."""

import queue
import sys
import threading
import time

work = queue.Queue()
for n in range(int(sys.argv[1])):
    wait = work.get if n % 2 else lambda: time.sleep(600)
    threading.Thread(target=wait, daemon=True).start()
time.sleep(0.1)
print("ready", flush=True)
time.sleep(600)
