/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * threads [COUNT] [CPU_MS]: COUNT threads named t-0, t-1, ..., each burning CPU_MS
 * of CPU time in even_work or odd_work by its number. The main thread waits.
 */
#include "tests/programs/burn.h"

#include <pthread.h>

static uint64_t each_ns;

static void even_work(void)
{
	BURN(each_ns);
}

static void odd_work(void)
{
	BURN(each_ns);
}

static void *run(void *argument)
{
	unsigned index = (unsigned)(uintptr_t)argument;
	char name[16];

	snprintf(name, sizeof(name), "t-%u", index);
	pthread_setname_np(pthread_self(), name);
	if (index % 2)
		odd_work();
	else
		even_work();
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned count = (unsigned)number(argc, argv, 1, 4);
	pthread_t threads[256];

	each_ns = number(argc, argv, 2, 500) * MS;
	if (count > 256)
		return 2;
	for (unsigned i = 0; i < count; i++) {
		if (pthread_create(&threads[i], NULL, run, (void *)(uintptr_t)i))
			return 1;
	}
	for (unsigned i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
