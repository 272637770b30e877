# Manual pages and the sample configuration are made from the tables that --help prints, and are
# part of the tarball: only who builds from the repository needs Python for them.
manual_pages = %D%/outbox-relay.1 %D%/outboxctl.1
dist_man_MANS += $(manual_pages)
dist_doc_DATA += %D%/outbox-relay.conf
MAINTAINERCLEANFILES += $(manual_pages) %D%/outbox-relay.conf
CLEANFILES += %D%/options.json %D%/sample.json %D%/help.json

EXTRA_PROGRAMS += %D%/relay-options
docs_man_relay_options_SOURCES = %D%/relay-options.c
docs_man_relay_options_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
docs_man_relay_options_LDADD = libconfig.la libruntime.la libbase.la $(JANSSON_LIBS) $(INIH_LIBS) $(CRYPTO_LIBS)

# The programs must be there, but a page is only as old as what it is made from: the tarball
# has the pages.
render = $(PYTHON3) $(srcdir)/%D%/render.py
print_options = $(MKDIR_P) %D% && %D%/relay-options$(EXEEXT) >%D%/options.json
print_help = $(MKDIR_P) %D% && ./outboxctl$(EXEEXT) help --json >%D%/help.json

%D%/outbox-relay.1: %D%/outbox-relay.txt %D%/render.py src/config/options.c configure.ac \
    | %D%/relay-options$(EXEEXT)
	$(AM_V_GEN)$(print_options) && \
	$(render) relay $(srcdir)/%D%/outbox-relay.txt %D%/options.json $(VERSION) >$@.tmp && mv $@.tmp $@
%D%/outboxctl.1: %D%/outboxctl.txt %D%/render.py $(outboxctl_SOURCES) configure.ac | outboxctl$(EXEEXT)
	$(AM_V_GEN)$(print_help) && \
	$(render) ctl $(srcdir)/%D%/outboxctl.txt %D%/help.json $(VERSION) >$@.tmp && mv $@.tmp $@
%D%/outbox-relay.conf: %D%/render.py src/config/options.c | %D%/relay-options$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) %D% && %D%/relay-options$(EXEEXT) >%D%/sample.json && \
	$(render) sample %D%/sample.json >$@.tmp && mv $@.tmp $@
