nobase_include_HEADERS += \
    %D%/outbox/emit.h \
    %D%/outbox/error.h \
    %D%/outbox/event.h \
    %D%/outbox/outbox.h
nobase_nodist_include_HEADERS += %D%/outbox/version.h
