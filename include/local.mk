nobase_include_HEADERS += \
    %D%/outbox/outbox.h \
    %D%/outbox/error.h
nobase_nodist_include_HEADERS += %D%/outbox/version.h
