/* stopwatch MAP SEED ROUNDS PROGRAM... -- [ID LOWERID COUNT]...
 *
 * Runs every PROGRAM once a round, in an order drawn anew, each time as `PROGRAM PID TRIPLES` on a process in a fresh
 * user namespace, and prints a line a run: the place of the program in the list, nanoseconds from spawn to exit, peak
 * memory in KiB, page faults. It is started as the unprivileged user whose programs these shall be.
 *
 * Between the two looks at the clock there are vfork, execve and wait4: posix_spawn would reset every signal. The
 * targets are forked by a second process, the nursery, so that this one never pays for copy-on-write, and stays small:
 * the kernel counts the spawner's memory into a program's peak. A run that did not write the map ends everything. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int nursery_ask, nursery_answer;

/* For every byte asked: ends the last target, makes a new one, answers its pid when it is ready. */
static _Noreturn void nursery(int ask, int answer)
{
	char byte;
	pid_t child = 0;
	while (read(ask, &byte, 1) == 1) {
		if (child) {
			kill(child, SIGKILL);
			waitpid(child, NULL, 0);
		}
		child = fork();
		if (child < 0)
			fail("fork");
		if (child == 0) {
			pid_t self = getpid();
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (unshare(CLONE_NEWUSER))
				fail("unshare");
			if (write(answer, &self, sizeof self) != sizeof self)
				fail("write");
			for (;;)
				pause();
		}
	}
	exit(0); /* the target dies with us */
}

static void start_nursery(void)
{
	int ask[2], answer[2];
	if (pipe2(ask, O_CLOEXEC) || pipe2(answer, O_CLOEXEC))
		fail("pipe");
	pid_t child = fork();
	if (child < 0)
		fail("fork");
	if (child == 0) {
		close(ask[1]);
		nursery(ask[0], answer[1]);
	}
	close(ask[0]);
	close(answer[1]);
	nursery_ask = ask[1];
	nursery_answer = answer[0];
}

static pid_t fresh_target(void)
{
	pid_t target;
	if (write(nursery_ask, "", 1) != 1 || read(nursery_answer, &target, sizeof target) != sizeof target)
		fail("nursery");
	return target;
}

static int is_mapped(const char *pid, const char *map)
{
	char path[64], byte;
	snprintf(path, sizeof path, "/proc/%s/%s", pid, map);
	int file = open(path, O_RDONLY | O_CLOEXEC);
	int mapped = file >= 0 && read(file, &byte, 1) == 1;
	close(file);
	return mapped;
}

static unsigned long long nanoseconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void run(int place, char *program, char **argv, const char *map)
{
	char pid[16];
	struct rusage usage;
	int status;
	snprintf(pid, sizeof pid, "%d", fresh_target());
	argv[0] = program;
	argv[1] = pid;

	unsigned long long start = nanoseconds();
	pid_t child = vfork();
	if (child == 0) {
		execve(program, argv, environ);
		_exit(127);
	}
	pid_t ended = wait4(child, &status, 0, &usage);
	unsigned long long end = nanoseconds();

	if (ended != child || status != 0 || !is_mapped(pid, map)) {
		fprintf(stderr, "%s: status %#x, or no %s written\n", program, status, map);
		exit(1);
	}
	printf("%d %llu %ld %ld\n", place, end - start, usage.ru_maxrss, usage.ru_minflt);
}

static unsigned long long drawn;

static int draw(int below)
{
	drawn ^= drawn << 13;
	drawn ^= drawn >> 7;
	drawn ^= drawn << 17;
	return drawn % below;
}

int main(int argc, char **argv)
{
	enum { MOST = 16 };
	int programs = 0, order[MOST];
	if (argc < 6)
		return 2;
	const char *map = argv[1];
	drawn = strtoull(argv[2], NULL, 10) | 1;
	long rounds = strtol(argv[3], NULL, 10);
	char **program = argv + 4;
	while (programs < MOST && program[programs] && strcmp(program[programs], "--"))
		programs++;
	if (!program[programs] || programs == MOST)
		return 2;
	/* What follows: room for a name and a pid, then the triples. */
	char **triples = program + programs + 1;
	int words = argv + argc - triples;
	char **helper = calloc(words + 3, sizeof *helper);
	if (!helper)
		fail("calloc");
	memcpy(helper + 2, triples, words * sizeof *helper);

	start_nursery();
	for (long round = 0; round < rounds; round++) {
		for (int i = 0; i < programs; i++) {
			int j = draw(i + 1);
			order[i] = order[j];
			order[j] = i;
		}
		for (int i = 0; i < programs; i++)
			run(order[i], program[order[i]], helper, map);
	}
	return fflush(stdout) ? 1 : 0;
}
