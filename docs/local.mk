nobase_dist_doc_DATA = \
    %D%/consumers.md \
    %D%/design.md \
    %D%/features.md \
    %D%/guarantees.md \
    %D%/logs.md \
    %D%/monitoring.md \
    %D%/operations.md \
    %D%/troubleshooting.md \
    %D%/webhooks.md
EXTRA_DIST += Doxyfile %D%/doxygen-filter.awk
if BUILD_RELAY
include %D%/man/local.mk
endif
