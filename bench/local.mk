# Programs of bench/run: built by `make bench-programs`, never installed.  Each adds itself to
# EXTRA_PROGRAMS and to bench_binaries, with $(EXEEXT).
bench_binaries =

EXTRA_PROGRAMS += %D%/writers-load
bench_binaries += %D%/writers-load$(EXEEXT)
bench_writers_load_SOURCES = %D%/writers_load.c
bench_writers_load_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) -pthread
bench_writers_load_LDADD = liboutbox.la $(LIBPQ_LIBS)

.PHONY: bench-programs
bench-programs: $(bench_binaries)

EXTRA_DIST += %D%/run %D%/lib/report.py %D%/lib/rounds.py %D%/lib/servers.py %D%/lib/writers.py
CLEANFILES += $(EXTRA_PROGRAMS)
