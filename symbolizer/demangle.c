/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/demangle.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <libiberty/demangle.h>

#define SPACE (DEMANGLE_LENGTH_MAX + 1)

struct text { /* what libiberty gives piece by piece */
	char bytes[SPACE];
	size_t length;
};

static void add(const char *piece, size_t length, void *context)
{
	struct text *text = context;
	size_t room = sizeof(text->bytes) - 1 - text->length;

	if (length > room)
		length = room;
	if (!length) /* it gives NULL then */
		return;
	memcpy(text->bytes + text->length, piece, length);
	text->length += length;
}

/* Rust first: its legacy names are C++ names with a hash. */
static bool demangle(const char *name, bool full, struct text *text)
{
	bool done;

	text->length = 0;
	if (strncmp(name, "_Z", 2) != 0 && strncmp(name, "_R", 2) != 0)
		return false;
	done = rust_demangle_callback(name, 0, add, text);
	if (!done) {
		text->length = 0;
		done = cplus_demangle_v3_callback(name, full ? DMGL_PARAMS | DMGL_ANSI : 0, add,
						  text);
	}
	text->bytes[text->length] = '\0';
	return done && text->length;
}

/* ---- the short form ---- */

struct fold {
	const char *from;
	char *to, *end;
	char last; /* the character that was put last */
};

static void put(struct fold *fold, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length && fold->to < fold->end; i++)
		*fold->to++ = bytes[i];
	if (length)
		fold->last = bytes[length - 1];
}

static bool in_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$';
}

/* The length of "operator" and its sign, in which brackets open nothing; 0. */
static size_t operator_length(const char *text)
{
	static const char word[] = "operator";
	/* Longer ones before those that they begin with. */
	static const char *const signs[] = {
		"<=>", "<<=", ">>=", "->*", "<<", ">>", "<=", ">=", "->", "()", "[]", "<", ">"};
	size_t length = sizeof(word) - 1;

	if (strncmp(text, word, length) != 0 || in_word(text[length]))
		return 0;
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
		if (!strncmp(text + length, signs[i], strlen(signs[i])))
			return length + strlen(signs[i]);
	}
	return length;
}

/* Behind the bracket that closes the one here; NULL if none does. Between round
 * ones, angles may be signs. */
static const char *behind_bracket(const char *at)
{
	bool angle = *at == '<';
	unsigned round = 0, angles = 0;

	for (char before = 0; *at; before = *at++) {
		size_t sign = in_word(before) ? 0 : operator_length(at);

		if (sign) {
			at += sign - 1;
			continue;
		}
		if (*at == '(')
			round++;
		else if (*at == ')' && round)
			round--;
		else if (*at == '<' && !round)
			angles++;
		else if (*at == '>' && !round && before != '-' && angles)
			angles--;
		if (!round && (!angle || !angles))
			return at + 1;
	}
	return NULL;
}

/* What is in brackets here goes, if they are arguments or parameters. */
static bool fold_brackets(struct fold *fold)
{
	static const char anonymous[] = "(anonymous namespace)";
	const char *behind;

	if (*fold->from == '(' && !strncmp(fold->from, anonymous, sizeof(anonymous) - 1)) {
		put(fold, anonymous, sizeof(anonymous) - 1);
		fold->from += sizeof(anonymous) - 1;
		return true;
	}
	/* Others begin a name: "<T as Trait>::f" of Rust, a tuple. */
	if (*fold->from == '(' ? !in_word(fold->last) && fold->last != '>'
			       : !in_word(fold->last) && fold->last != ':' && fold->last != ' ' &&
					 fold->last != ']')
		return false;
	if (*fold->from == '<' && fold->last == ' ' && fold->from[-1] != ' ')
		return false;
	behind = behind_bracket(fold->from);
	if (!behind)
		return false;
	if (*fold->from == '<')
		put(fold, "<>", 2);
	fold->from = behind;
	return true;
}

void demangle_fold(const char *name, char *ret, size_t size)
{
	struct fold fold = {.from = name, .to = ret, .end = ret + size - 1};

	ret[0] = '\0';
	while (*fold.from && fold.to < fold.end) {
		size_t sign = in_word(fold.last) ? 0 : operator_length(fold.from);

		if (sign) {
			put(&fold, fold.from, sign);
			fold.from += sign;
			/* "operator<" and its arguments are kept apart by a space. */
			if (fold.from[0] == ' ' && fold.from[1] == '<')
				fold.from++;
			if (fold.from[0] == '<' && behind_bracket(fold.from)) {
				put(&fold, "<>", 2);
				fold.from = behind_bracket(fold.from);
			}
			continue;
		}
		if ((*fold.from == '<' || *fold.from == '(') && fold_brackets(&fold))
			continue;
		put(&fold, fold.from++, 1);
	}
	*fold.to = '\0';
}

/* ---- what is remembered ---- */

void demangler_deinit(struct demangler *demangler)
{
	strtab_deinit(&demangler->names);
	for (unsigned form = 0; form < DEMANGLE_FORMS; form++)
		vec_free(&demangler->known[form]);
	*demangler = (struct demangler){0};
}

void demangler_limit(struct demangler *demangler)
{
	if (demangler->names.bytes.count > DEMANGLE_KEPT_MAX)
		demangler_deinit(demangler);
}

static uint32_t remember(struct demangler *demangler, uint32_t id, enum demangle_form form,
			 uint32_t other)
{
	while (demangler->known[form].count <= id) {
		if (vec_push(&demangler->known[form], 0) < 0)
			return other;
	}
	demangler->known[form].items[id] = other == DEMANGLE_SAME ? id + 1 : other + 1;
	return other;
}

/* A name as the source has it, with its template arguments: DWARF has no other of
 * functions that no other file can name. */
static bool is_plain_template(const char *name)
{
	return name[0] != '_' && strchr(name, '<');
}

uint32_t demangler_find(struct demangler *demangler, const char *name, enum demangle_form form)
{
	char folded[SPACE];
	struct text text;
	uint32_t id, known, other;

	if (form == DEMANGLE_NONE || strlen(name) > DEMANGLE_LENGTH_MAX ||
	    (name[0] != '_' && (form == DEMANGLE_FULL || !is_plain_template(name))))
		return DEMANGLE_SAME;
	id = strtab_add(&demangler->names, name, strlen(name));
	if (id == UINT32_MAX)
		return DEMANGLE_SAME;
	known = id < demangler->known[form].count ? demangler->known[form].items[id] : 0;
	if (known)
		return known - 1 == id ? DEMANGLE_SAME : known - 1;
	if (is_plain_template(name))
		text.length = (size_t)snprintf(text.bytes, sizeof(text.bytes), "%s", name);
	else if (!demangle(name, form == DEMANGLE_FULL, &text))
		return remember(demangler, id, form, DEMANGLE_SAME);
	if (form == DEMANGLE_SHORT)
		demangle_fold(text.bytes, folded, sizeof(folded));
	else
		memcpy(folded, text.bytes, text.length + 1);
	other = strtab_add(&demangler->names, folded, strlen(folded));
	return remember(demangler, id, form, other == id ? DEMANGLE_SAME : other);
}

const char *demangler_text(const struct demangler *demangler, uint32_t number)
{
	return strtab_get(&demangler->names, number);
}
