"""Libraries of tests/tools that tests preload.

    outbox.start(environment=preload.environment("hanging_calls", HANGING_CALL=...))
"""
import os
import subprocess

import tap

PACKAGES = ("libpq", "rdkafka", "libcurl")


def build(name):
    path = f"{tap.TMP}/{name}.so"
    if not os.path.exists(path):
        flags = subprocess.run(["pkg-config", "--cflags", *PACKAGES], check=True, text=True,
                               stdout=subprocess.PIPE).stdout.split()
        subprocess.run(["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-O1", "-o", path,
                        f"{tap.SRC}/tests/tools/{name}.c", *flags, "-ldl"], check=True)
    return path


def environment(*names, **variables):
    return {"LD_PRELOAD": " ".join(build(name) for name in names), **variables,
            "ASAN_OPTIONS": "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")}
