#include "bare.h"

/* PROGRAM PID [ID LOWERID COUNT]...: opens /proc/PID/MAP (uid_map or gid_map), writes the triples as they are. */
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
