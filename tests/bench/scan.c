/* The scan floor: also reads the whole policy file (POLICY) and looks for the lines of one owner (OWNER), as anybody
 * must who decides by it. It believes what stands in them. */
#include <emmintrin.h>

#include "write_map.h"

static const char wanted[] = "\n" OWNER ":";
enum { LENGTH = sizeof wanted - 1, BLOCK = 32 * 1024, PAGE = 4096 };

/* Blocks are read to the start of a page. (To a place 1 to 15 bytes further, the kernel's copying takes three times as
 * long on AMD: `rep movsb` then believes that source and destination overlap.) What is left of the last block goes
 * below: at first a newline, so that the first line begins like the others. */
static char buffer[PAGE + BLOCK + 16] __attribute__((aligned(PAGE)));
static char *const block = buffer + PAGE;

static int is_wanted(const char *at)
{
	for (int i = 0; i < LENGTH; i++)
		if (at[i] != wanted[i])
			return 0;
	return 1;
}

/* Places in `size` bytes where a line of the owner begins: sixteen at once, by their first two bytes. */
static int count(const char *text, long size)
{
	const __m128i first = _mm_set1_epi8(wanted[0]), second = _mm_set1_epi8(wanted[1]);
	int found = 0;
	for (long at = 0; at < size; at += 16) {
		__m128i here = _mm_loadu_si128((const __m128i *)(text + at));
		__m128i next = _mm_loadu_si128((const __m128i *)(text + at + 1));
		unsigned hits = _mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(here, first), _mm_cmpeq_epi8(next, second)));
		for (; hits; hits &= hits - 1) {
			long place = at + __builtin_ctz(hits);
			found += place <= size - LENGTH && is_wanted(text + place);
		}
	}
	return found;
}

_Noreturn void start(long *stack)
{
	long file = call3(SYS_OPEN, (long)POLICY, O_RDONLY, 0), got;
	int found = 0, kept = 1;
	block[-1] = '\n';
	while ((got = call3(SYS_READ, file, (long)block, BLOCK)) > 0) {
		found += count(block - kept, kept + got);
		/* So much of the end may be the beginning of a hit. */
		kept = LENGTH - 1;
		for (int i = kept; i > 0; i--)
			block[-i] = block[got - i];
	}
	if (file < 0 || got < 0 || !found)
		leave(1);
	write_map(stack[0], (char **)(stack + 1));
}
