/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Questions to the history, and queues of them. The lock is the owner's.
 */
#pragma once

#include "daemon/history.h"

struct history_question {
	struct history_question *next;
	struct history_query query;
	history_profile_fn *on_profile; /* either; NULL both: forgotten */
	history_rows_fn *on_rows;
	history_list_fn *list;
	void *context;
	struct profile *profile; /* the answer */
	json_t *rows;
	struct error error;
};

struct history_questions {
	struct history_question *first, *last;
};

void history_question_push(struct history_questions *queue, struct history_question *question);
/* NULL: there is none. */
struct history_question *history_question_pop(struct history_questions *queue);
void history_question_free(struct history_question *question);
/* Whoever asked with this context is called no more. */
void history_questions_forget(struct history_questions *queue, const void *context);
