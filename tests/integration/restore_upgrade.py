#!/usr/bin/python3
# deadline: 300
"""pg_upgrade gives the cluster another identity: the relay halts, and goes on exactly once
after outboxctl adopt. What is no upgraded cluster is not adopted."""
import ledger
import places
import tap

old = places.Server("old")
outbox = places.made(old)
book = ledger.Ledger(outbox, outbox.create_topic("orders", 2), outbox.create_topic("rest", 3))
process = outbox.start(**places.OPTIONS)
with book.writers(3, 0.02):
    process.wait_running()
    outbox.wait_published(150)
    process.kill()
    # some that wait
    tap.wait_until(lambda: book.count() > outbox.published() + 30)
places.refused(outbox, "nothing to adopt", "the old one: there is nothing to adopt", "adopt", "--yes")
old.stop()
new = places.Server("new", "--version", "18", "--upgrade", old)
there = places.copied(outbox, new)
tap.like(there.sql("show server_version")[0][0], "^18", "it is PostgreSQL 18")
places.halts(there, book.topics, "wrong_server", 8, "upgraded", "enabled on PostgreSQL system")
places.refused(there, "adopt", "upgraded: it cannot be enabled", "enable", "--yes")
places.succeeds(there, "nothing was changed", "adopt explains", "adopt")
places.succeeds(there, "done: enabled at {local:", "adopt --yes", "adopt", "--yes")
tap.is_(there.sql("select action, reason from outbox.audit where action = 'adopt'"), [("adopt", "test")],
        "adopt: the audit has it")
book.outbox = there
process = there.start(**places.OPTIONS)
with book.writers(2, 0.02):
    process.wait_running()
    there.wait_published(there.published() + 50)
book.settle()
process.stop()
if not tap.is_(book.audit(), [], "upgraded and adopted: nothing lost, nothing doubled"):
    process.show()
tap.done_testing()
