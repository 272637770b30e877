# Built against the public headers and the installed kind of library only.
if BUILD_EXAMPLES
include %D%/publisher/local.mk
include %D%/webhook-receiver/local.mk
include %D%/crud-api/local.mk
if BUILD_RELAY
include %D%/consumer/local.mk
endif
endif
