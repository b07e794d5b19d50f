/* nursery: for every letter read, makes a process and answers with its pid and a newline.
 *
 *   u   in a user namespace of its own, with nothing mapped
 *   n   in a network namespace that belongs to that, too
 *
 * They wait until they are killed, or until whoever writes the letters has gone: then the nursery and all of them end.
 * Nothing of them is left to be waited for. */
#define _GNU_SOURCE
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(1);
}

static _Noreturn void child(int namespaces)
{
	struct pollfd asker = { .fd = 0, .events = 0 };
	char line[16];
	if (unshare(namespaces))
		fail("unshare");
	int length = snprintf(line, sizeof line, "%d\n", (int)getpid());
	if (write(1, line, length) != length)
		fail("write");
	for (;;)
		if (poll(&asker, 1, -1) == 1)
			_exit(0);
}

int main(void)
{
	char letter;
	signal(SIGCHLD, SIG_IGN);
	while (read(0, &letter, 1) == 1) {
		pid_t pid = fork();
		if (pid < 0)
			fail("fork");
		if (pid == 0)
			child(CLONE_NEWUSER | (letter == 'n' ? CLONE_NEWNET : 0));
	}
	return 0;
}
