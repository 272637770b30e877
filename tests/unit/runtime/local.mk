# tests of this folder's namesake
check_PROGRAMS += %D%/test_repeat
TESTS += %D%/test_repeat
%C%_test_repeat_LDADD = libruntime.la libbase.la $(CRYPTO_LIBS) $(CMOCKA_LIBS)
