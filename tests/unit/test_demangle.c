/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Names of C++ and Rust, whole and short, and names that are none of theirs.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "symbolizer/demangle.h"
#include "tests/unit/suite.h"

static const struct {
	const char *mangled, *full, *brief;
} names[] = {
	{"_ZNSt6vectorIiSaIiEE9push_backERKi",
	 "std::vector<int, std::allocator<int> >::push_back(int const&)",
	 "std::vector<>::push_back"},
	{"_ZN12_GLOBAL__N_13fooEv", "(anonymous namespace)::foo()", "(anonymous namespace)::foo"},
	{"_ZNK3BarltERKS_", "Bar::operator<(Bar const&) const", "Bar::operator<"},
	{"_ZN3BarlsIiEERS_i", "Bar& Bar::operator<< <int>(int)", "Bar::operator<<<>"},
	{"_ZN3BarclEi", "Bar::operator()(int)", "Bar::operator()"},
	{"_ZN3BarptEv", "Bar::operator->()", "Bar::operator->"},
	{"_ZZN3fooIiEEvT_ENKUlvE_clEv", "foo<int>(int)::{lambda()#1}::operator()() const",
	 "foo<>::{lambda#1}::operator()"},
	{"_ZN3foo11my_operatorIiEEvv", "void foo::my_operator<int>()", "foo::my_operator<>"},
	{"_ZN3fooEv.cold", "foo() [clone .cold]", "foo"},
	{"_ZN4core3ptr13drop_in_place17h0123456789abcdefE", "core::ptr::drop_in_place",
	 "core::ptr::drop_in_place"},
	{"_RNvC6_123foo3bar", "123foo::bar", "123foo::bar"},
	{"_RINvNtC3std3mem8align_ofdE", "std::mem::align_of::<f64>", "std::mem::align_of::<>"},
};

static const char *form_of(struct demangler *demangler, const char *name, enum demangle_form form)
{
	uint32_t number = demangler_find(demangler, name, form);

	return number == DEMANGLE_SAME ? name : demangler_text(demangler, number);
}

/* What DWARF says of a function that is in one file only. */
START_TEST(plain_templates)
{
	static const char name[] = "middle<long unsigned int, std::vector<int> >";
	struct demangler demangler = {0};

	ck_assert_str_eq(form_of(&demangler, name, DEMANGLE_SHORT), "middle<>");
	ck_assert_str_eq(form_of(&demangler, name, DEMANGLE_SHORT), "middle<>");
	ck_assert_str_eq(form_of(&demangler, name, DEMANGLE_FULL), name);
	ck_assert_str_eq(form_of(&demangler, "operator<", DEMANGLE_SHORT), "operator<");
	demangler_deinit(&demangler);
}
END_TEST

static const char *const others[] = {"",   "_",           "main", "_start",   "__libc_start_main",
				     "_Z", "_Znonsense!", "_R",   "?f@@YAXXZ"};

START_TEST(known_names)
{
	struct demangler demangler = {0};

	/* Twice: the second time from memory. */
	for (size_t i = 0; i < 2 * sizeof(names) / sizeof(names[0]); i++) {
		size_t n = i % (sizeof(names) / sizeof(names[0]));

		ck_assert_str_eq(form_of(&demangler, names[n].mangled, DEMANGLE_FULL),
				 names[n].full);
		ck_assert_str_eq(form_of(&demangler, names[n].mangled, DEMANGLE_SHORT),
				 names[n].brief);
		ck_assert_str_eq(form_of(&demangler, names[n].mangled, DEMANGLE_NONE),
				 names[n].mangled);
	}
	demangler_deinit(&demangler);
}
END_TEST

START_TEST(names_that_stay)
{
	struct demangler demangler = {0};

	for (size_t i = 0; i < 2 * sizeof(others) / sizeof(others[0]); i++) {
		const char *name = others[i / 2];

		ck_assert_str_eq(form_of(&demangler, name, DEMANGLE_SHORT), name);
		ck_assert_str_eq(form_of(&demangler, name, DEMANGLE_FULL), name);
	}
	demangler_deinit(&demangler);
}
END_TEST

static const struct {
	const char *name, *brief;
} folds[] = {
	{"<Test as foo::Bar<Test>>::bar", "<Test as foo::Bar<>>::bar"},
	{"<(A, B) as Trait<C>>::f", "<(A, B) as Trait<>>::f"},
	{"core::iter::Map<I,F>::next", "core::iter::Map<>::next"},
	{"a<b(c)(1>2)>::d(e)::f", "a<>::d::f"},
	{"f<&A::operator< >(int)", "f<>"},
	{"f<&A::operator->, 3>::g", "f<>::g"},
	{"f<decltype(a->b)>::g", "f<>::g"},
	{"open<never closed", "open<never closed"},
	{"open(never closed", "open(never closed"},
	{">closed)", ">closed)"},
	{"", ""},
};

START_TEST(folded_names)
{
	char brief[64];

	for (size_t i = 0; i < sizeof(folds) / sizeof(folds[0]); i++) {
		demangle_fold(folds[i].name, brief, sizeof(brief));
		ck_assert_str_eq(brief, folds[i].brief);
	}
	demangle_fold("abcdef", brief, 4);
	ck_assert_str_eq(brief, "abc");
}
END_TEST

/* Names that grow when they are demangled, and deep ones: cut, and in time. */
START_TEST(bombs)
{
	struct demangler demangler = {0};
	char name[4 * DEMANGLE_LENGTH_MAX] = "_Z1fI";
	const char *text;
	size_t at;

	for (at = strlen(name); at < DEMANGLE_LENGTH_MAX - 8; at++)
		name[at] = 'P';
	name[at] = '\0';
	text = form_of(&demangler, name, DEMANGLE_FULL);
	ck_assert_uint_le(strlen(text), DEMANGLE_LENGTH_MAX);
	at = (size_t)snprintf(name, sizeof(name), "_Z1f1AIiE");
	for (unsigned i = 0; i < 30; i++)
		at += (size_t)snprintf(name + at, sizeof(name) - at, "1AIS_S_E");
	text = form_of(&demangler, name, DEMANGLE_FULL);
	ck_assert_uint_le(strlen(text), DEMANGLE_LENGTH_MAX);
	memset(name, 'a', sizeof(name) - 1);
	memcpy(name, "_Z", 2);
	name[sizeof(name) - 1] = '\0';
	ck_assert_ptr_eq(form_of(&demangler, name, DEMANGLE_SHORT), name);
	demangler_deinit(&demangler);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("demangle");

	SUITE_CASE(suite, "demangle", known_names, plain_templates, names_that_stay, folded_names,
		   bombs);
	return suite_main(suite);
}
