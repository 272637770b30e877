# Needs nothing that is built.
include %D%/python-service/local.mk
# Built against the public headers and the installed kind of library only.
dist_noinst_SCRIPTS += %D%/run-all
if BUILD_EXAMPLES
include %D%/publisher/local.mk
if BUILD_HTTP_EXAMPLES
include %D%/webhook-receiver/local.mk
include %D%/crud-api/local.mk
include %D%/dashboard/local.mk
endif
if BUILD_RELAY
include %D%/analytics/local.mk
include %D%/consumer/local.mk
include %D%/enrichment/local.mk
endif
endif
