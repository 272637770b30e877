# The pure core against models of its servers.  src/core alone, no other part.
check_PROGRAMS += %D%/sim-run
%C%_sim_run_SOURCES = \
    %D%/bugs.h \
    %D%/faults.c %D%/faults.h \
    %D%/kafka.c %D%/kafka.h \
    %D%/main.c \
    %D%/oracle.c %D%/oracle.h \
    %D%/pg.c %D%/pg.h \
    %D%/pg_delivery.c \
    %D%/pg_lane.c \
    %D%/pg_map.c \
    %D%/pg_parking.c \
    %D%/pg_retention.c \
    %D%/pg_tick.c \
    %D%/relay.c %D%/relay.h \
    %D%/relay_follow.c \
    %D%/relay_lanes.c \
    %D%/relay_ticker.c \
    %D%/relay_webhooks.c \
    %D%/run.c %D%/run.h \
    %D%/runner.c \
    %D%/runner_db.c \
    %D%/runner_kafka.c \
    %D%/runner_pipe.c \
    %D%/sim.h \
    %D%/strike.c %D%/strike.h \
    %D%/table.c \
    %D%/workload.c %D%/workload.h \
    %D%/world.c %D%/world.h
%C%_sim_run_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests
%C%_sim_run_LDADD = libcore.la
TESTS += %D%/simulator.tap
