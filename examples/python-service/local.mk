dist_noinst_SCRIPTS += %D%/shipping.py
dist_noinst_DATA += %D%/README.md
