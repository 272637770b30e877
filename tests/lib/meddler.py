"""A line to Kafka on which things happen to single requests.

    line = meddler.Meddler()        behind it a broker of dev/kafka --proxy-port
    line.wanted = meddler.mishaps() each of them happens to the next request of its kind, one after another
    line.wanted                     those that have not happened yet
"""
import itertools
import struct
import time

import proxy

# Source: https://kafka.apache.org/protocol#protocol_api_keys
KINDS = {0: "Produce", 1: "Fetch", 2: "ListOffsets", 3: "Metadata", 10: "FindCoordinator", 22: "InitProducerId",
         24: "AddPartitionsToTxn", 26: "EndTxn"}
# By a relay that publishes; the others by one that begins.
OFTEN = ("Produce", "AddPartitionsToTxn", "EndTxn")
LOST, UNANSWERED, LATE, TWICE = "lost", "unanswered", "late", "twice"
# Between two of them: so that one is not hidden by the other's consequences.
PAUSE = 0.7


def mishaps():
    """All, but for a second InitProducerId: that fences the first, which is another story than the network's."""
    return [pair for pair in itertools.product(KINDS.values(), (LOST, UNANSWERED, LATE, TWICE))
            if pair != ("InitProducerId", TWICE)]


class Meddler(proxy.Proxy):
    def __init__(self, target=None, late=1.5):
        super().__init__(target)
        self.late = late          # seconds
        self.wanted = []
        self.next_at = 0
        self.unanswered = set()   # (line, correlation id)
        self.answers = {}         # of a request that was sent twice: how many have come

    def choose(self, api):
        """What happens to this request, if anything."""
        with self.lock:
            now = time.monotonic()
            for pair in self.wanted if now >= self.next_at else ():
                if pair[0] == KINDS.get(api):
                    self.wanted.remove(pair)
                    self.next_at = now + PAUSE
                    return pair[1]
        return None

    def take_sent(self, line, source):
        frame = proxy.receive_frame(source)
        key = (line, frame[8:12])
        mishap = self.choose(struct.unpack(">h", frame[4:6])[0])
        if mishap == LOST:
            line.end(proxy.reset)
            return None
        if mishap == UNANSWERED:
            self.unanswered.add(key)
        elif mishap == LATE:
            time.sleep(self.late)  # if the client gives up meanwhile, it arrives all the same
        elif mishap == TWICE:
            self.answers[key] = 0
            return frame + frame
        return frame

    def take_answered(self, line, source):
        frame = proxy.receive_frame(source)
        key = (line, frame[4:8])
        if key in self.unanswered:
            self.unanswered.remove(key)
            line.end(proxy.reset)
            return None
        if key in self.answers:
            self.answers[key] += 1
            if self.answers[key] == 2:
                del self.answers[key]
                return b""
        return frame
