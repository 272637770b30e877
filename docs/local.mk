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
# Whatever is built: what stands in EXTRA_DIST below a condition is missing in the tarball without it.
EXTRA_DIST += %D%/man/outbox-relay.txt %D%/man/outboxctl.txt %D%/man/render.py %D%/man/outbox-relay.1 %D%/man/outboxctl.1
if BUILD_RELAY
include %D%/man/local.mk
else
# A tarball has them, and passes them on.
%D%/man/outbox-relay.1 %D%/man/outboxctl.1 %D%/man/outbox-relay.conf:
	@echo '$@ is made by programs that --disable-relay leaves out: configure without it to make a tarball' >&2; \
	exit 1
endif
