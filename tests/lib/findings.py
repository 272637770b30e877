"""For the tests of outboxctl doctor: what it finds, and whether a finding comes and goes with
what provokes it.

    doctor = findings.Doctor(outbox.dsn)
    doctor.provoked("lane_paused", "warning", "lane 0")
    doctor.healed("lane_paused")
    doctor.tried        the names of those that were provoked
"""
import json
import os

import tap

# The relay's options may come from variables too; those for the tests are none.
CLEAN = {n: v for n, v in os.environ.items() if not n.startswith("OUTBOX_")} | {"OUTBOX_CREATE_TOPICS": "no"}


class Doctor:
    def __init__(self, dsn, *arguments):
        self.dsn, self.arguments = dsn, arguments
        self.tried = set()

    def report(self, *arguments):
        """{finding: [its objects]}, and {finding: why it could not be checked}."""
        status, output, errors = tap.outboxctl(self.dsn, "doctor", "--json", *self.arguments, *arguments, env=CLEAN)
        if status not in (0, 1):
            tap.diag(errors)
            return {}, {}
        told = json.loads(output)
        found = {}
        for finding in told["findings"]:
            found.setdefault(finding["name"], []).append(finding)
        if (status == 1) != bool(found):
            tap.diag(f"exit {status} with {len(found)} findings")
        return found, {u["name"]: u["why"] for u in told["unchecked"]}

    def provoked(self, name, severity, subject, *arguments, detail=""):
        """It is found, once, with this severity and a subject that has this in it."""
        self.tried.add(name)
        found = self.report(*arguments)[0].get(name, [])
        seen = [(f["severity"], subject in (f["subject"] or ""), detail in f["detail"],
                 bool(f["meaning"] and f["remedy"])) for f in found]
        if not tap.is_(seen, [(severity, True, True, True)], name):
            tap.diag(found)

    def healed(self, name, *arguments):
        """It was looked for, and is not there."""
        found, unchecked = self.report(*arguments)
        if not tap.ok(name not in found and name not in unchecked, f"{name}: gone when it is over"):
            tap.diag(found.get(name), unchecked.get(name))


def all_names(dsn):
    """All that it can find."""
    return {kind["name"] for kind in json.loads(tap.outboxctl(dsn, "doctor", "--list", "--json")[1])}
