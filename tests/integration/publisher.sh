#!/usr/bin/env bash
# deadline: 300
# The example: each row and its event are in one transaction, and the ledger tells what was committed.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"

create_database
export OUTBOX_DSN=$DSN
publisher=$OUTBOX_BUILD/examples/publisher/publisher
ledger=$OUTBOX_TEST_TMP/ledger

ok "setup" "$publisher" setup
ok "setup again" "$publisher" setup
like "$("$publisher" user 'Ada "L"' ada@example.org)" '^user_created key=1 event=[0-9a-f-]{36}$' "a user"
like "$("$publisher" order 1 'tea; DROP TABLE users' 19.90)" '^order_placed key=1 event=[0-9a-f-]{36}$' "an order"
is "$(sql "select string_agg(concat_ws(' ', type, key, content_type, convert_from(payload, 'UTF8')::jsonb), e'\n' order by seq)
             from outbox.event")" \
    'user_created 1 application/json {"n": 0, "name": "Ada \"L\"", "email": "ada@example.org", "user_id": 1}
order_placed 1 application/json {"n": 1, "item": "tea; DROP TABLE users", "amount": 19.90, "user_id": 1, "order_id": 1}' \
    "their events"
status=0
"$publisher" order 99 nothing 1 2>/dev/null || status=$?
is "$status" 1 "no order of a user that does not exist"
is "$(sql 'select count(*) from outbox.event')" 2 "and no event of it"

printed=$("$publisher" load --transactions 500 --rollback-percent 20 --ledger "$ledger")
diag "$printed"
like "$printed" '^committed=[0-9]+ rolled_back=[1-9][0-9]* events=[0-9]+ unknown=0 failed=0$' "the load's last line"
committed=${printed#committed=}
committed=${committed%% *}
is "$(awk '$1 == "committed"' "$ledger" | wc -l)" "$committed" "the ledger has each committed event"
is "$(awk 'NF != 6' "$ledger" | wc -l)" 0 "and nothing else"
awk '{ print $2, $3, $4, $5 }' "$ledger" | sort >"$ledger.there"
sql "select id, type, key, convert_from(payload, 'UTF8')::jsonb->>'n' from outbox.event where seq > 2" |
    tr '|' ' ' | sort >"$ledger.here"
# Rolled back orders draw numbers, too: the first two events are the lowest all the same.
ok "the events in the database are those of the ledger" diff "$ledger.there" "$ledger.here"
is "$(sql "select count(*) from (select key, (convert_from(payload, 'UTF8')::jsonb->>'n')::int as n,
                                       row_number() over (partition by key order by seq) - 1 as wanted
                                  from outbox.event) as e where n <> wanted")" 0 \
    "each key's numbers have no gap and are in the order of seq"
is "$(sql "select count(*) from shop.orders o
             join outbox.event e on e.type = 'order_placed' and (convert_from(e.payload, 'UTF8')::jsonb->>'order_id')::bigint = o.id
                                and (e.xid::text::bigint & 4294967295) = o.xmin::text::bigint")" \
    "$(sql 'select count(*) from shop.orders')" "each order was written by the transaction of its event"
done_testing
