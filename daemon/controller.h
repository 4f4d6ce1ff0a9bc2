/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The controller: how often each stream of samples may fire, so that all of perfd stays
 * within its budget. Pure: what was measured in a window goes in, rates come out; the engine
 * measures and applies (engine_rates.c).
 *
 * A stream is whatever has a rate that costs: a clock of the whole machine or of a session
 * (Hz), page faults (samples a second), probes on allocators (thousandths of a CPU).
 *
 *	cost of all = perfd's CPU time and its children's, the BPF programs' run time, and what
 *	              the kernel adds around them
 *	fixed       = what no stream's rate has to do with: processes that begin and end, names
 *	rate        = floor + s (wished - floor), with the largest s <= 1 for which
 *	              fixed + Σ cost per unit of rate x rate <= budget
 *
 * What is no stream's gives way, too: views that look at slices of the time (duty.h) get a
 * smaller part of their own budget while all costs too much, and what can wait (unwind tables
 * that only the system-wide view lacks) waits while nothing of the budget is saved: of the last
 * two minutes, what was not used may be used at once.
 *
 * What is fixed is taken as the last window's where that is more than what was learned, so that all
 * is cut at once. For a patient stream it is the median of the last windows: else what opening a
 * session costs, once, would leave it blind for all of a short one.
 *
 * Whatever is fixed, a tenth of the budget stays for the streams: to take it from them saves
 * little and blinds. Floors are kept whatever it costs, that a rare process be still seen and a
 * session get what it was promised. Too much is cut at once; what is to rise does so by half at
 * most in a window, and only if by more than a tenth, so that measured noise moves nothing. A
 * stream that loses samples is cut and rests. Rates that a window was too short to judge stay.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"

/* Why a rate is what it is: X(enumerator, key for programs, sentence for people). */
#define RATE_REASONS(X)                                                                            \
	X(WISHED, "wished", "as wished")                                                           \
	X(PRECISION, "precision", "enough for the wished precision")                               \
	X(PATTERN, "pattern", "as what it does asks for")                                          \
	X(BUDGET, "budget", "cut: perfd's budget would not hold")                                  \
	X(PROCESS, "process", "cut: a process would pay more than its share")                      \
	X(LOSS, "loss", "cut: samples were lost")                                                  \
	X(KERNEL, "kernel", "the kernel allows no more (kernel.perf_event_max_sample_rate)")       \
	X(STOLEN, "stolen", "not raised: the machine's CPUs are given to others")                  \
	X(RISING, "rising", "rising again, by half in a window")                                   \
	X(FORCED, "forced", "set by hand")

enum rate_reason {
#define X(name, key, text) RATE_##name,
	RATE_REASONS(X)
#undef X
		RATE_REASON_COUNT
};
const char *rate_reason_key(enum rate_reason reason);
const char *rate_reason_text(enum rate_reason reason);

struct controller_limits {
	double budget; /* of all CPUs' time: 0.01 is one percent; 0: no limit */
	double process; /* of a process's time, for clocks' samples; likewise */
};

/* One stream. Rates are in its own unit, for each CPU or process that has it. */
struct controller_stream {
	bool used;
	bool clock; /* fires by time, on each CPU: the cap for a process holds */
	bool patient; /* it keeps its rate over seconds: what one window costs is not held against
			 it */
	double wished, floor; /* floor <= wished */
	enum rate_reason wished_why; /* RATE_WISHED, RATE_PRECISION or RATE_PATTERN */
	double rate; /* what holds now */
	enum rate_reason why;
	double forced; /* set by hand; 0: not */
	double cost_rate; /* ns of a second, for one unit of rate, as last learned; 0: not yet */
	/* Likewise at most, where that is known: a stream that keeps its rate on average costs more
	 * in one window and nothing in the next. 0: not known. */
	double cost_rate_most;
	double cost; /* of all CPUs' time, in the last window */
	uint64_t resting_until; /* ns: no rise before, for samples were lost */
};

#define CONTROLLER_USUAL 5u /* windows, of which the median is what is usual */

struct controller {
	struct controller_limits limits;
	struct controller_stream streams[ABI_SLOTS_MAX];
	double fixed; /* ns of a second, as last learned */
	double fixed_last[CONTROLLER_USUAL]; /* likewise, as measured: a ring */
	double cost; /* of all CPUs' time, in the last window */
	double fixed_cost, stolen; /* likewise */
	double mean; /* of it, about the last two seconds */
	double views; /* the part of their budget that views by slices may have: up to 1 */
	double saved; /* ns: what was not used, up to two minutes' budget; below 0: used ahead */
	uint64_t windows; /* so far */
	uint64_t over; /* of these, in which the cost was above the budget */
	uint64_t cuts, rises; /* changes of rates so far */
};

/* What was measured of a stream since the last window. */
struct controller_measured {
	uint64_t fired; /* firings, whatever came of them */
	uint64_t samples; /* of these that became one */
	uint64_t lost; /* likewise, on its way */
	uint64_t ns; /* all that they cost */
	uint64_t sample_ns; /* what one costs the thread that it hits */
};

struct controller_window {
	uint64_t now, elapsed; /* boot time, ns */
	uint32_t cpus;
	uint64_t ns; /* all that perfd cost */
	uint64_t stolen_ns; /* that the CPUs were given to other machines */
	uint32_t kernel_hz; /* kernel.perf_event_max_sample_rate; 0: not known */
	struct controller_measured streams[ABI_SLOTS_MAX];
};

void controller_init(struct controller *controller, const struct controller_limits *limits);
/* A stream begins, at its wished rate. */
void controller_open(struct controller *controller, uint32_t slot, double wished, double floor,
		     bool clock);
void controller_close(struct controller *controller, uint32_t slot);
/* 0: the controller's own again. */
void controller_force(struct controller *controller, uint32_t slot, double rate);
/* Whether there is something saved, for what can wait. */
bool controller_may_spend(const struct controller *controller);
/* Judges a window: bit n of the result: the rate of stream n changed. */
uint64_t controller_run(struct controller *controller, const struct controller_window *window);

/* Samples after which the confidence interval of any share, at 95 %, is at most so much to
 * either side: (1.96 / 2 half_width)^2, of all as many alike. */
double controller_samples_for(double half_width);
/* How exact they are: the largest half-width that a share may have, by the sums of weights and
 * of their squares. */
double controller_half_width(double weight, double squares);
