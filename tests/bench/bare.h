/* Programs without a C library: the floors, which do what the kernel asks of anybody and nothing else. */
#ifndef __x86_64__
#error "the floors of the benchmark know the system calls of x86-64 only"
#endif

enum { SYS_READ = 0, SYS_WRITE = 1, SYS_OPEN = 2, SYS_IOCTL = 16, SYS_SOCKET = 41, SYS_EXIT = 60 };
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

/* The kernel starts a program with argc and argv on the stack, which is no place for a C function to start. */
__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");
_Noreturn void start(long *stack);
