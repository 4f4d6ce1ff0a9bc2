/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Hard stacks of C++: see hard.h. The functions of the chains have C names.
 */
#include "tests/programs/hard.h"

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <thread>
#include <vector>

extern "C" {

KEEP static void throws(uint64_t depth)
{
	if (depth == 0)
		throw std::runtime_error("thrown");
	throws(depth - 1);
	AFTER_CALL();
}

KEEP static void catcher(uint64_t ns)
{
	try {
		throws(5);
	} catch (const std::exception &) {
		bottom(ns);
		AFTER_CALL();
	}
}

KEEP static void run_catch(uint64_t ns)
{
	catcher(ns);
	AFTER_CALL();
}

KEEP static void in_destructor(uint64_t ns)
{
	bottom(ns);
	AFTER_CALL();
}

struct guard {
	uint64_t ns;
	KEEP ~guard()
	{
		in_destructor(ns);
		AFTER_CALL();
	}
};

KEEP static void unwinds(uint64_t ns)
{
	guard held{ns};

	throws(5);
	AFTER_CALL();
}

KEEP static void run_destructor(uint64_t ns)
{
	try {
		unwinds(ns);
	} catch (const std::exception &) {
		AFTER_CALL();
	}
}

/* Most of the time is in the unwinder of the language itself. */
KEEP static void run_throws(uint64_t ns)
{
	for (uint64_t end = cpu_ns(CLOCK_THREAD_CPUTIME_ID) + ns;
	     cpu_ns(CLOCK_THREAD_CPUTIME_ID) < end;) {
		try {
			throws(10);
		} catch (const std::exception &) {
			AFTER_CALL();
		}
	}
}

KEEP static void call_function(const std::function<void(uint64_t)> &function, uint64_t ns)
{
	function(ns);
	AFTER_CALL();
}

KEEP static void run_function(uint64_t ns)
{
	volatile uint64_t captured = 1;
	std::function<void(uint64_t)> function = [&](uint64_t time) {
		bottom(time);
		captured = 2;
	};

	call_function(function, ns);
}

KEEP static void in_thread(uint64_t ns)
{
	bottom(ns);
	AFTER_CALL();
}

KEEP static void run_std_thread(uint64_t ns)
{
	std::thread thread(in_thread, ns);

	thread.join();
}

KEEP static void run_sort(uint64_t ns)
{
	std::vector<int> values(2000);

	for (uint64_t end = cpu_ns(CLOCK_THREAD_CPUTIME_ID) + ns;
	     cpu_ns(CLOCK_THREAD_CPUTIME_ID) < end;) {
		for (size_t i = 0; i < values.size(); i++)
			values[i] = (int)((i * 7919) % 2003);
		std::sort(values.begin(), values.end(), [](int a, int b) { return a > b; });
		AFTER_CALL();
	}
}

} /* extern "C" */

static const struct hard_case hard_cxx[] = {
	{"catch", run_catch, "bottom", "@main run_catch catcher bottom"},
	{"destructor", run_destructor, "bottom",
	 "@main run_destructor unwinds ? in_destructor bottom"},
	{"throws", run_throws, "run_throws", "@main run_throws"},
	{"function", run_function, "bottom", "@main run_function call_function * bottom"},
	{"std_thread", run_std_thread, "bottom", "@thread * in_thread bottom"},
	{"sort", run_sort, "run_sort", "@main run_sort"},
	{nullptr, nullptr, nullptr, nullptr},
};

int main(int argc, char **argv)
{
	static const struct hard_case *const tables[] = {hard_cxx, nullptr};
	int code = hard_main(argc, argv, tables);

	AFTER_CALL();
	return code;
}
