/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history_question.h"

#include <stdlib.h>

void history_question_push(struct history_questions *queue, struct history_question *question)
{
	question->next = NULL;
	if (queue->last)
		queue->last->next = question;
	else
		queue->first = question;
	queue->last = question;
}

struct history_question *history_question_pop(struct history_questions *queue)
{
	struct history_question *question = queue->first;

	if (!question)
		return NULL;
	queue->first = question->next;
	if (!queue->first)
		queue->last = NULL;
	return question;
}

void history_question_free(struct history_question *question)
{
	if (!question)
		return;
	profile_destroy(question->profile);
	json_decref(question->rows);
	free(question);
}

void history_questions_forget(struct history_questions *queue, const void *context)
{
	for (struct history_question *question = queue->first; question;
	     question = question->next) {
		if (question->context != context)
			continue;
		question->on_profile = NULL;
		question->on_rows = NULL;
	}
}
