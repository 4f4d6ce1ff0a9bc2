/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/mapping_choice.h"

#include <math.h>

#include "daemon/base/clock.h"

/* Parts of the budget: from this on nobody is told, at once, or of the mean of some seconds; below
 * that, for so long, everybody is again. */
#define BLIND_FROM 0.25
#define BLIND_FROM_MEAN 0.05
#define MEAN_NS (4 * NSEC_PER_SEC)
#define TOLD_BELOW 0.0125
#define WAIT_NS (10 * NSEC_PER_SEC)
#define WAIT_MAX_NS (320 * NSEC_PER_SEC)

bool mapping_choice_make(struct mapping_choice *choice, double cost, double budget, uint64_t now)
{
	double elapsed = choice->looked ? (double)(now - choice->looked) : 0;

	choice->mean += (cost - choice->mean) * (1 - exp(-elapsed / MEAN_NS));
	choice->looked = now;
	if (budget <= 0)
		return false;
	if (!choice->blind)
		return cost >= budget * BLIND_FROM || choice->mean >= budget * BLIND_FROM_MEAN;
	if (cost >= budget * TOLD_BELOW)
		choice->calm = 0;
	else if (!choice->calm)
		choice->calm = now;
	return !choice->calm || now - choice->calm < choice->wait;
}

/* Starts of programs are not all that there may be much to be told of, but all that is counted
 * while nobody is told: then all are told for a moment again and again. */
void mapping_choice_turned(struct mapping_choice *choice, bool blind, uint64_t now)
{
	bool at_once = choice->turned && now - choice->turned < WAIT_NS;

	if (blind && !at_once)
		choice->wait = WAIT_NS;
	else if (blind && choice->wait < WAIT_MAX_NS)
		choice->wait *= 2;
	choice->blind = blind;
	choice->turned = now;
	choice->mean = 0; /* by another measure from now on */
	choice->calm = 0;
}
