#include <stdio.h>

#include "box/call.h"

int main(int argc, char **argv)
{
	for (const struct call *const *call = call_table; *call; call++)
		printf("%s  %s\n", (*call)->name, (*call)->summary);
	return argc > 1 ? 2 : 0;
}
