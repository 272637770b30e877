# tests/unit mirrors src; each folder brings its fragment.  `make check` needs no server.
EXTRA_DIST += build-aux/tap-driver.sh %D%/unit/cmocka_all.h %D%/installcheck.sh %D%/skips.allowed %D%/lib/tsan_threads.c

# What runtests needs: whole folders, so that nothing is forgotten.  Named in EXTRA_DIST
# they would bring along what is built in them.
dist-hook:
	@to=`cd '$(distdir)' && pwd` && cd '$(srcdir)' && \
	for file in `find dev tests/[a-z]* -name __pycache__ -prune -o -type f -print`; do \
	    case $$file in \
	    tests/fuzz/seeds/*) ;; \
	    *.[ch]|*.py|*.sh|*.sql|*.supp|*.txt|*.xml|*.properties|*.java|*.sha256|*.md|*.patch) ;; \
	    *.*) continue ;; \
	    *) test "`head -c 2 $$file`" = '#!' || continue ;; \
	    esac; \
	    $(MKDIR_P) "$$to/`dirname $$file`" && cp -p "$$file" "$$to/$$file" || exit 1; \
	done

include %D%/checks/local.mk
include %D%/integration/emit.mk
include %D%/integration/inbox.mk
include %D%/docs/local.mk
include %D%/fuzz/local.mk
if HAVE_CMOCKA
include %D%/unit/base/local.mk
include %D%/unit/event/local.mk
include %D%/unit/api/local.mk
if BUILD_RELAY
include %D%/unit/runtime/local.mk
include %D%/unit/config/local.mk
include %D%/unit/core/local.mk
include %D%/unit/sink/local.mk
include %D%/unit/webhook/local.mk
include %D%/unit/admin/local.mk
include %D%/unit/cli/local.mk
include %D%/unit/consumer/local.mk
endif
endif
if BUILD_RELAY
include %D%/tools/local.mk
include %D%/sim/local.mk
endif
