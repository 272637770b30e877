#!/usr/bin/env bash
# deadline: 300
# Emitting, from C and in SQL, through the real pgbouncer in transaction mode: see emit_pooled.c, which
# prints the points.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"

create_database
# Its server's socket and port.
host=$(sql 'show unix_socket_directories')
port=$(sql 'show port')
dir=$OUTBOX_TEST_TMP/pgbouncer
mkdir "$dir"

# Two servers, used in turn.  Only a socket: no port that another may have.
cat >"$dir/pgbouncer.ini" <<END
[databases]
* = host=$host port=$port
[pgbouncer]
pool_mode = transaction
default_pool_size = 2
server_round_robin = 1
listen_addr =
listen_port = 6432
unix_socket_dir = $dir
auth_type = trust
auth_file = $dir/users
ignore_startup_parameters = extra_float_digits
END
echo '"postgres" ""' >"$dir/users"

# It refuses to be root, as the server does; the server lets every user of the machine in by its
# socket, if he can reach that.
as=()
if [ "$(id -u)" -eq 0 ]; then
    user=nobody
    ! id -u postgres >/dev/null 2>&1 || user=postgres
    chown -R "$user" "$dir"
    as=(setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups --)
fi
"${as[@]}" pgbouncer "$dir/pgbouncer.ini" >"$dir/log" 2>&1 &
PIDS+=("$!")

name=${DSN##*dbname=}
pooled="host=$dir port=6432 user=postgres dbname=$name"
if ! wait_until 30 psql -X -q -At -d "$pooled" -c 'select 1' >/dev/null 2>&1; then
    diag "$(cat "$dir/log")"
    bail "pgbouncer does not answer"
fi
status=0
"$OUTBOX_BUILD/tests/integration/emit_test" --pooled "$pooled" "$DSN" || status=$?
[ "$status" -eq 0 ] || diag "$(tail -n 20 "$dir/log")"
exit "$status"
