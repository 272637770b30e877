# The house rules, checked.  No server is needed; together they take a few seconds.
checks = \
    %D%/check-files.tap \
    %D%/check-functions.tap \
    %D%/check-layers.tap \
    %D%/check-headers.tap \
    %D%/check-docs-headers.tap
if BUILD_RELAY
checks += %D%/check-core-pure.tap
endif
TESTS += $(checks)
EXTRA_DIST += \
    %D%/check-files.tap \
    %D%/check-functions.tap \
    %D%/check-layers.tap \
    %D%/check-headers.tap \
    %D%/check-docs-headers.tap \
    %D%/check-core-pure.tap \
    %D%/tap.sh %D%/strip.awk %D%/functions.awk

# What the library exports and imports.
TESTS += %D%/check-exports.tap %D%/check-library.tap
EXTRA_DIST += %D%/check-exports.tap %D%/check-library.tap
