"""The relay's way of reading the log, in Python: ticks, positions, pages.

    reader = lane_reader.Reader(connection)      at the first tick, nothing read
    reader.tick()                                a new tick, or None
    rows = reader.read(limit)                    the next page; moves the position

The position is (from_tick, to_tick, seq, done), as in outbox.lane; a successor
made from it reads on exactly where its predecessor stopped.
"""
import collections

Position = collections.namedtuple("Position", "from_tick to_tick seq done")

LOAD = """
    SELECT t.last_seq, t.snapshot::text, ARRAY(SELECT pg_snapshot_xip(t.snapshot))::text,
           pg_snapshot_xmax(t.snapshot)::text, t.self_xid::text
      FROM outbox.tick AS t WHERE t.id = %s"""

# the arguments are those of the relay's reader (src/source/reader.c)
PAGE = """
    SELECT e.seq, e.id::text, e.key, convert_from(e.payload, 'UTF8')
      FROM outbox.batch_rows(%s::xid8[], %s::xid8, %s::xid8, %s::bigint, %s::pg_snapshot, %s::bigint,
                             %s::bigint, 9223372036854775807, 0, 255, %s::integer) AS e
     ORDER BY e.seq"""

TICK = "SELECT t.id FROM outbox.tick(%s) AS t"


class Reader:
    def __init__(self, connection, position=None):
        self.connection = connection
        self.loaded = {}
        if position is None:
            first = self.rows("SELECT min(id) FROM outbox.tick")[0][0]
            position = Position(first, first, 0, True)
        self.position = position
        self.waiting = []  # ticks after the batch of the position

    def rows(self, statement, arguments=None):
        with self.connection.cursor() as cursor:
            cursor.execute(statement, arguments)
            return cursor.fetchall()

    def tick(self, forced=False):
        """Takes a tick; a later read goes up to it."""
        made = self.rows(TICK, (not forced,))[0][0]
        if made is not None:
            self.waiting.append(made)
        return made

    def load(self, tick):
        if tick not in self.loaded:
            if len(self.loaded) > 100:
                self.loaded.clear()
            self.loaded[tick] = self.rows(LOAD, (tick,))[0]
        return self.loaded[tick]

    def page(self, from_tick, to_tick, after, limit):
        a_last, _, a_xip, a_xmax, a_self = self.load(from_tick)
        b_last, b_snapshot = self.load(to_tick)[:2]
        return self.rows(PAGE, (a_xip, a_xmax, a_self, a_last, b_snapshot, b_last, after, limit))

    def read(self, limit=5000):
        """The next page of the batch; when that is done, of the next batch, which
        goes up to the latest tick: those between are coalesced."""
        if self.position.done:
            if not self.waiting:
                return []
            self.position = Position(self.position.to_tick, self.waiting[-1], 0, False)
            self.waiting.clear()
        at = self.position
        rows = self.page(at.from_tick, at.to_tick, at.seq, limit)
        self.position = at._replace(seq=rows[-1][0] if rows else at.seq, done=len(rows) < limit)
        return rows

    def read_batch(self, limit=5000):
        """All that is left up to the latest tick."""
        rows = []
        while self.waiting or not self.position.done:
            rows += self.read(limit)
        return rows
