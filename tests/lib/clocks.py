"""For the tests in which a wall clock is set while programs run (tests/tools/moved_clock.c).

    clock = clocks.Clock("relay")
    process = outbox.start(environment=clock.environment)
    clock.set(-3600)             an hour behind the true time
"""
import mmap
import os
import struct
import subprocess

import tap


def build_library():
    path = f"{tap.TMP}/moved_clock.so"
    if not os.path.exists(path):
        subprocess.run(["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-O1", "-o", path,
                        f"{tap.SRC}/tests/tools/moved_clock.c", "-ldl"], check=True)
    return path


class Clock:
    def __init__(self, name):
        path = f"{tap.TMP}/{name}.clock"
        with open(path, "wb") as f:
            f.write(bytes(8))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 8)
        self.environment = {"LD_PRELOAD": build_library(), "MOVED_CLOCK": path,
                            "ASAN_OPTIONS": "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")}

    def set(self, seconds):
        self.map[:] = struct.pack("=q", int(seconds * 1000000))
