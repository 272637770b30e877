# Programs of bench/run: built by `make bench-programs`, never installed.  Each adds itself to
# EXTRA_PROGRAMS and to BENCH_PROGRAMS, with $(EXEEXT).
BENCH_PROGRAMS =

.PHONY: bench-programs
bench-programs: $(BENCH_PROGRAMS)

EXTRA_DIST += %D%/run %D%/lib/report.py %D%/lib/rounds.py %D%/lib/servers.py
CLEANFILES += $(EXTRA_PROGRAMS)
