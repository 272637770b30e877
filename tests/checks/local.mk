# tests of this folder's namesake
# What the library exports and imports.
EXTRA_DIST += %D%/check-exports.tap %D%/check-library.tap
TESTS += %D%/check-exports.tap %D%/check-library.tap
