/* spawner: does what it is told on standard input, a line each: PROGRAM BRIDGE PID...
 *
 * For each PID in turn it runs `PROGRAM create /dev/null bench PID veth BRIDGE`, and then answers with one
 * line: the clock before the first and after the last, peak memory in KiB and page faults of the last, and
 * what the programs printed. It is started as the unprivileged user whose programs these shall be.
 *
 * Between the two looks at the clock there are vfork, execve and wait4: posix_spawn would reset every signal.
 * This is a small program of its own because the kernel counts the spawner's memory into a program's peak. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(1);
}

static unsigned long long nanoseconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* Standard output of what it starts. The pipe has room for what hundreds of them print. */
static int printed[2];

static void run(char *program, char *bridge, char *pid, struct rusage *usage)
{
	char *argv[] = { program, "create", "/dev/null", "bench", pid, "veth", bridge, NULL };
	int status;
	pid_t child = vfork();
	if (child == 0) {
		dup2(printed[1], STDOUT_FILENO);
		execve(program, argv, environ);
		_exit(127);
	}
	if (wait4(child, &status, 0, usage) != child || status != 0) {
		fprintf(stderr, "%s create ... %s veth %s: status %#x\n", program, pid, bridge, status);
		exit(1);
	}
}

int main(void)
{
	char *line = NULL, text[65536], *pid;
	size_t room = 0;
	struct rusage usage = { 0 };
	int answer = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (answer < 0 || pipe2(printed, O_CLOEXEC | O_NONBLOCK))
		fail("pipe");
	while (getline(&line, &room, stdin) > 0) {
		char *program = strtok(line, " \n"), *bridge = strtok(NULL, " \n");
		unsigned long long start = nanoseconds();
		while ((pid = strtok(NULL, " \n")))
			run(program, bridge, pid, &usage);
		unsigned long long end = nanoseconds();

		ssize_t length = read(printed[0], text, sizeof text);
		if (length < 0)
			fail("nothing was printed");
		for (ssize_t i = 0; i < length; i++)
			if (text[i] == '\n')
				text[i] = ' ';
		dprintf(answer, "%llu %llu %ld %ld %.*s\n", start, end, usage.ru_maxrss, usage.ru_minflt,
			(int)length, text);
	}
	return 0;
}
