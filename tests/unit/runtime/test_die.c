#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/die.h"

static void ends_with_its_code_and_a_line(void **state)
{
    char line[512] = "";
    int pipes[2];
    int status = 0;
    pid_t child;

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (dup2(pipes[1], STDERR_FILENO) < 0)
            _exit(99);
        runtime_die("out_of_memory", "tick");
    }
    assert_int_equal(close(pipes[1]), 0);
    assert_true(read(pipes[0], line, sizeof(line) - 1) > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), RUNTIME_EXIT_DIED);
    assert_non_null(strstr(line, " level=error event=out_of_memory where=tick exit=70\n"));
    close(pipes[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ends_with_its_code_and_a_line)};

    return cmocka_run_group_tests_name("die", tests, NULL, NULL);
}
