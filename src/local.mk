# A folder is a part and a layer: it may include only the parts named beside it.
# tests/checks/check-layers.tap holds the code to this.
#
#   base     what library and programs share            libc, OpenSSL
#   event    an event, validated                        base
#   api      the public library                         base event
#   runtime  log, clocks, threads of the programs       base
#   pg       PostgreSQL connections with deadlines      base runtime
#   config   options by file, environment and flags     base runtime
#   core     the relay's decisions: pure                (nothing but libc)
#   source   what the relay does in PostgreSQL          base runtime pg core
#   sink     what the relay does in Kafka               base runtime core config
#   webhook  what the relay does over HTTP              base runtime pg core
#   admin    the relay's pages for operators            base runtime
#   relay    outbox-relay: the parts joined             all of the above but api, event
#   cli      outboxctl                                  all of the above but source, admin, relay
#   consumer  the consumer library                      base runtime pg sink
include %D%/base/local.mk
include %D%/event/local.mk
include %D%/api/local.mk
if BUILD_RELAY
include %D%/runtime/local.mk
include %D%/pg/local.mk
include %D%/config/local.mk
include %D%/core/local.mk
include %D%/source/local.mk
include %D%/sink/local.mk
include %D%/webhook/local.mk
include %D%/admin/local.mk
include %D%/relay/local.mk
include %D%/cli/local.mk
include %D%/consumer/local.mk
endif
# Below the condition it would be missing in a tarball that is made without the relay.
EXTRA_DIST += %D%/consumer/liboutbox-consumer.map
