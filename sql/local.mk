outbox_sql_first = %D%/begin.sql %D%/bootstrap.sql
# In their order.  An applied one never changes; add a new one.
outbox_migrations = \
    %D%/migrations/0001_foundation.sql \
    %D%/migrations/0002_events.sql \
    %D%/migrations/0003_ticks.sql \
    %D%/migrations/0004_emit.sql \
    %D%/migrations/0005_lanes.sql \
    %D%/migrations/0006_webhooks.sql \
    %D%/migrations/0007_grants.sql \
    %D%/migrations/0008_operate.sql \
    %D%/migrations/0009_retention.sql \
    %D%/migrations/0010_consumers.sql
outbox_embed = cd '$(srcdir)' && $(SHELL) %D%/embed.sh

EXTRA_DIST += %D%/embed.sh
nobase_dist_pkgdata_DATA += $(outbox_sql_first) $(outbox_migrations)
nobase_nodist_pkgdata_DATA += %D%/outbox.sql
CLEANFILES += %D%/outbox.sql

%D%/outbox.sql: $(outbox_sql_first) $(outbox_migrations) %D%/embed.sh
	$(AM_V_GEN)$(MKDIR_P) %D% && rm -f $@ && \
	($(outbox_embed) sql $(outbox_sql_first) $(outbox_migrations)) >$@.tmp && mv $@.tmp $@
