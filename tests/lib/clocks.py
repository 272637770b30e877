"""For the tests in which a wall clock is set while programs run (tests/tools/moved_clock.c).

    clock = clocks.Clock("relay")
    process = outbox.start(environment=clock.environment)
    clock.set(-3600)             an hour behind the true time
"""
import mmap
import struct

import preload
import tap


class Clock:
    def __init__(self, name, *beside, **variables):
        """beside: what else is preloaded, with its variables."""
        path = f"{tap.TMP}/{name}.clock"
        with open(path, "wb") as f:
            f.write(bytes(8))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 8)
        self.environment = preload.environment("moved_clock", *beside, MOVED_CLOCK=path, **variables)

    def set(self, seconds):
        self.map[:] = struct.pack("=q", int(seconds * 1000000))
