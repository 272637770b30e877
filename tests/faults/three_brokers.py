#!/usr/bin/python3
# deadline: 600
"""Three brokers: one killed, so that leaders and the coordinator move; two killed, so that
min.insync.replicas is not met, and back; one that hangs; and beside that PostgreSQL
crashes, its line falls silent, a relay pauses beyond its lease, transactions stay open.
The short form of tests/soak, which throws all of these by the dice for hours."""
import random

import storm
import tap

BLOWS = ("broker_killed", "transactions_left_open", "replicas_lost", "relay_paused", "broker_paused", "postgres_crashed",
         "line_silent", "relay_killed", "all_brokers_killed")

scene = storm.Scene()
game = storm.Round(scene, random.randrange(10**9))
with game.case.writing(persist=True):
    game.case.process.wait_running()
    for name in BLOWS:
        game.blow(storm.BLOWS[name])
game.judge()
report = storm.Report()
report.add(game)
tap.diag(*(line + "\n" for line in report.lines()))
tap.done_testing()
