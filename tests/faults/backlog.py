#!/usr/bin/python3
# deadline: 500
"""The short form of tests/all/backlog.py."""
import catch_up
import tap

catch_up.play(100000)
tap.done_testing()
