#!/usr/bin/python3
# deadline: 14400
"""Ten million events, or as many as BACKLOG says, wait for Kafka, which goes once more while they are
published, and some have webhooks, whose receiver is slow. Memory must not grow with them."""
import os

import catch_up
import tap

catch_up.play(int(os.environ.get("BACKLOG", "10000000")), dies=True)
tap.done_testing()
