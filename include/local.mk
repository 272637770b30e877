outboxincludedir = $(includedir)/outbox
outboxinclude_HEADERS = \
    %D%/outbox/emit.h \
    %D%/outbox/error.h \
    %D%/outbox/event.h \
    %D%/outbox/inbox.h \
    %D%/outbox/outbox.h \
    %D%/outbox/webhook.h
nodist_outboxinclude_HEADERS = %D%/outbox/version.h
