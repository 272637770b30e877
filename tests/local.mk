# tests/unit mirrors src; each folder brings its fragment.  `make check` needs no server.
EXTRA_DIST += build-aux/tap-driver.sh %D%/unit/cmocka_all.h
# For runtests: whole folders, so that no test is forgotten.
EXTRA_DIST += \
    %D%/all \
    %D%/integration \
    %D%/lib \
    %D%/packaging \
    %D%/sanitize \
    %D%/skips.allowed
include %D%/checks/local.mk
include %D%/docs/local.mk
if HAVE_CMOCKA
include %D%/unit/base/local.mk
include %D%/unit/event/local.mk
include %D%/unit/api/local.mk
if BUILD_RELAY
include %D%/unit/runtime/local.mk
include %D%/unit/config/local.mk
include %D%/unit/core/local.mk
include %D%/unit/sink/local.mk
include %D%/unit/webhook/local.mk
include %D%/unit/cli/local.mk
endif
endif
if BUILD_RELAY
include %D%/tools/local.mk
endif
