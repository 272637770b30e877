"""For the tests in which a disk is full: small ones, in memory.

    disks.unshare()                   first of all
    disk = disks.Small("wal", 80)     a file system of 80 MB in disk.path, of the server's user
    disk.fill()                       not a block is left
    disk.free()
"""
import ctypes
import os
import pwd
import sys

import restarts


def unshare(*kinds):
    """In a mount namespace of its own (or what else is given), so that nothing is left mounted whatever ends
    the test, and nobody has to be root: starts the script again."""
    if os.environ.get("OUTBOX_TEST_UNSHARED") == str(os.getpid()):
        return
    os.environ["OUTBOX_TEST_UNSHARED"] = str(os.getpid())  # which stays the same
    rights = [] if os.getuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
    os.execvp("unshare", ["unshare", *rights, *(kinds or ("--mount",)), sys.executable, *sys.argv])


def server_user():
    """As dev/postgres chooses it."""
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise RuntimeError("there is neither a user postgres nor nobody")


class Small:
    def __init__(self, name, megabytes):
        root = restarts.own_directory(name)
        kernel = ctypes.CDLL(None, use_errno=True)
        if kernel.mount(b"outbox-test", root.encode(), b"tmpfs", 0, f"size={megabytes}m,mode=711".encode()) != 0:
            raise OSError(ctypes.get_errno(), "cannot mount a file system; it takes root, or user namespaces")
        self.ballast = root + "/ballast"
        self.path = root + "/files"
        os.mkdir(self.path, 0o700)
        os.chown(self.path, *server_user())

    def fill(self):
        with open(self.ballast, "ab", buffering=0) as f:
            size = 1 << 20
            while size:  # from large to small, to the last byte
                try:
                    f.write(bytes(size))
                except OSError:
                    size //= 2

    def free(self):
        os.unlink(self.ballast)
