/* SPDX-License-Identifier: MIT */
/* A case in a process of its own: for what happens once in a machine's life. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void forked(void (*fn)(void))
{
    int status;

    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        fn();
        exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}
