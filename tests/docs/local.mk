# Run by ./runtests, not by make check.
EXTRA_DIST += \
    %D%/features.sh \
    %D%/guarantees.sh \
    %D%/links.sh \
    %D%/manual.py \
    %D%/monitoring.py \
    %D%/doxygen.sh
