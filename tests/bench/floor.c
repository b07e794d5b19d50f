/* The floor: opens the map and writes it, believing everything. No program that writes a map can cost less. */
#include "write_map.h"

_Noreturn void start(long *stack)
{
	write_map(stack[0], (char **)(stack + 1));
}
