/* Programs without a C library: what the kernel asks of anybody who writes an id map, and nothing else. */
#ifndef __x86_64__
#error "the floors of the benchmark know the system calls of x86-64 only"
#endif

enum { SYS_READ = 0, SYS_WRITE = 1, SYS_OPEN = 2, SYS_EXIT = 60 };
enum { O_RDONLY = 0, O_WRONLY = 1 };

static inline long call3(long number, long a, long b, long c)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

static inline _Noreturn void leave(int status)
{
	for (;;)
		call3(SYS_EXIT, status, 0, 0);
}

static inline char *add(char *to, const char *from)
{
	while (*from)
		*to++ = *from++;
	return to;
}

/* PROGRAM PID [ID LOWERID COUNT]...: opens /proc/PID/MAP (uid_map or gid_map) and writes the triples as they are. */
static inline _Noreturn void write_map(int argc, char **argv)
{
	char path[64], text[4096], *end = text;
	*add(add(add(path, "/proc/"), argv[1]), "/" MAP) = 0;
	for (int i = 2; i < argc; i++) {
		end = add(end, argv[i]);
		*end++ = i % 3 == 1 ? '\n' : ' ';
	}
	long map = call3(SYS_OPEN, (long)path, O_WRONLY, 0);
	leave(map < 0 || call3(SYS_WRITE, map, (long)text, end - text) != end - text);
}

/* The kernel starts a program with argc and argv on the stack, which is no place for a C function to start. */
__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");
_Noreturn void start(long *stack);
