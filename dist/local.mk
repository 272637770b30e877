if BUILD_RELAY
pkgdata_DATA = %D%/outbox-relay.service
endif
EXTRA_DIST += %D%/outbox-relay.service
