#!/usr/bin/python3
# deadline: 300
"""A removed endpoint keeps no open delivery, whoever is at work when it goes.

The acknowledgement reads the endpoints and inserts deliveries; a result that
comes in makes a delivery due again; a removal gives up what is open. Each is
played against the removal in both orders.
"""
import threading

import tap

FINISH = """
    SELECT outbox.delivery_finish(ARRAY[id], ARRAY[token], ARRAY['failed'], ARRAY[true], ARRAY[interval '1 s'],
           ARRAY['refused'], ARRAY[500], ARRAY['x'], ARRAY[now()], ARRAY['a'], ARRAY[1::bigint], ARRAY[1::bigint],
           ARRAY[1::bigint], ARRAY[1::bigint], ARRAY[1::bigint], ARRAY[1::bigint], ARRAY['']) FROM outbox.delivery"""


class Stage:
    """A lane, one batch not yet acknowledged, an endpoint."""

    def __init__(self, server):
        self.dsn = tap.create_database(server)
        self.first = tap.connect(self.dsn).cursor()
        self.second = tap.connect(self.dsn).cursor()
        self.endpoint = self.value("SELECT outbox.endpoint_add('http://a/', decode(repeat('00', 32), 'hex'))")
        self.value("SELECT outbox.emit(type => 't')")
        self.value("SELECT id FROM outbox.tick()")
        self.epoch = self.value("SELECT epoch FROM outbox.lane_acquire(1, 0, 'test', '1 hour')")

    def value(self, statement):
        return tap.sql(self.dsn, statement)[0][0]

    def acknowledge(self, cursor):
        cursor.execute("""
            SELECT a.deliveries FROM outbox.lane l, outbox.tick f, outbox.tick t,
                   outbox.lane_acknowledge(1, 0, %s, l.from_tick, l.to_tick, l.seq, f.id, f.nonce, t.id, t.nonce, t.last_seq,
                                           true, 1) AS a
             WHERE f.id = l.to_tick AND t.id = (SELECT max(id) FROM outbox.tick)""", (self.epoch,))
        return cursor.fetchone()[0]

    def remove(self, cursor):
        cursor.execute("SELECT outbox.endpoint_remove(%s)", (self.endpoint,))

    def claim(self):
        tap.sql(self.dsn, "SELECT * FROM outbox.delivery_claim('w', ARRAY[%s]::uuid[], ARRAY[5], 5, '1 hour')", (self.endpoint,))

    def states(self):
        return [row[0] for row in tap.sql(self.dsn, "SELECT state FROM outbox.delivery")]

    def play(self, before, after):
        """before is done and open, after has to wait for its end."""
        self.first.execute("BEGIN")
        before(self.first)
        thread = threading.Thread(target=after, args=(self.second,))
        thread.start()
        waited = tap.wait_until(lambda: self.waits() or not thread.is_alive(), interval=0.01) and thread.is_alive()
        self.first.execute("COMMIT")
        thread.join(30)
        return waited

    def waits(self):
        return tap.sql(self.dsn, "SELECT count(*) FROM pg_locks WHERE pid = %s AND NOT granted",
                       (self.second.connection.info.backend_pid,)) == [(1,)]

    def close(self):
        self.first.connection.close()
        self.second.connection.close()


def test_acknowledgement(server, version):
    stage = Stage(server)
    waited = stage.play(stage.acknowledge, stage.remove)
    tap.is_((waited, stage.states()), (True, ["dead"]), f"{version}: deliveries of an acknowledgement that was first are given up")
    stage.close()
    stage = Stage(server)
    waited = stage.play(stage.remove, stage.acknowledge)
    tap.is_((waited, stage.states()), (True, []), f"{version}: one that comes second inserts none")
    stage.close()


def test_result(server, version):
    for name, order in (("before", 1), ("after", -1)):
        stage = Stage(server)
        stage.acknowledge(stage.first)
        stage.claim()
        waited = stage.play(*(lambda cursor: cursor.execute(FINISH), stage.remove)[::order])
        tap.is_((waited, stage.states()), (True, ["dead"]), f"{version}: a failure recorded just {name} the removal is final")
        stage.close()


def main():
    for version, server in {"15": tap.DSN, "18": tap.DSN18}.items():
        if not server:
            tap.bail(f"no PostgreSQL {version}")
        test_acknowledgement(server, version)
        test_result(server, version)
    tap.done_testing()


main()
