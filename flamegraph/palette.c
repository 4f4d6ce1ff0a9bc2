/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/palette.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "daemon/base/cleanup.h"
#include "flamegraph/profile_internal.h"

struct colour {
	uint32_t light; /* 0xrrggbb, under dark text on a light page */
	uint32_t dark; /* likewise on a dark page */
};

/* Shades of a hue differ little: enough to tell neighbours apart. The five whose names
 * begin with SAFE_ are made from the colours that M. Okabe and K. Ito chose for
 * all kinds of colour vision (2008). */
enum hue {
	WARM,
	BLUE,
	TEAL,
	GREEN,
	VIOLET,
	ROSE,
	OLIVE,
	BROWN,
	INDIGO,
	GREY,
	SLATE,
	PALE,
	SAFE_ORANGE,
	SAFE_SKY,
	SAFE_GREEN,
	SAFE_YELLOW,
	SAFE_PURPLE,
	CHANGES,
	HUE_COUNT
};

static const struct colour colours[] = {
	/* WARM */
	{0xf48c85, 0xc95c54},
	{0xf7907e, 0xcd6451},
	{0xf89272, 0xcf694a},
	{0xf9996c, 0xd17347},
	{0xfaa166, 0xd27b41},
	{0xfbab60, 0xd48740},
	{0xfbb65b, 0xd4913a},
	{0xfac157, 0xd19d3d},
	{0xf8ce59, 0xcda842},
	{0xf5da61, 0xc8b046},
	/* BLUE */
	{0x8bc6e4, 0x5694b3},
	{0x92c1e7, 0x5b8eb9},
	{0x98bceb, 0x638bbf},
	{0x88c9dd, 0x559aaf},
	{0xa2b9ec, 0x6b86c2},
	/* TEAL */
	{0x89d2c3, 0x53a292},
	{0x80d0ca, 0x52a39c},
	{0x92d3be, 0x57a28b},
	{0x89cfd1, 0x55a2a5},
	/* GREEN */
	{0xa1d47d, 0x76a555},
	{0x9bd586, 0x6da758},
	{0xaad373, 0x80a451},
	{0x92d388, 0x63a659},
	/* VIOLET */
	{0xc4aeea, 0x987fc3},
	{0xceafe9, 0xa07dbf},
	{0xbbadeb, 0x8f80c6},
	{0xd7b1e7, 0xa87cbb},
	/* ROSE */
	{0xf4a0c8, 0xc26f97},
	{0xf099ba, 0xbe688a},
	{0xed9ecc, 0xbb6d9c},
	/* OLIVE */
	{0xc9cf78, 0x999e42},
	{0xbacb77, 0x8b9a41},
	{0xcdc971, 0x9d983a},
	/* BROWN */
	{0xd9a579, 0xa87547},
	{0xd59d76, 0xa46d45},
	{0xd2a473, 0xa27441},
	/* INDIGO */
	{0xa4b3f8, 0x7582c7},
	{0xa5aaf0, 0x777abf},
	{0x9ab2f5, 0x6b81c4},
	/* GREY */
	{0xbdbdbd, 0x808080},
	/* SLATE */
	{0xcbd0d8, 0x8792a1},
	{0xd3d8df, 0x929cab},
	{0xc3c8d0, 0x808a99},
	/* PALE */
	{0xdce0e5, 0x9ea7b3},
	/* SAFE_ORANGE */
	{0xe8a91a, 0xbf8400},
	{0xecb740, 0xcf8f00},
	{0xf0c361, 0xdd9900},
	/* SAFE_SKY */
	{0x67bceb, 0x4795c1},
	{0x80c7ee, 0x4da1d1},
	{0x96d0f1, 0x53ade0},
	/* SAFE_GREEN */
	{0x1aa881, 0x00835f},
	{0x2eaf8c, 0x008f68},
	{0x40b696, 0x00986e},
	/* SAFE_YELLOW */
	{0xf2e755, 0xc7bd37},
	{0xf4eb71, 0xd6cc3b},
	{0xf6ee8a, 0xe6db3f},
	/* SAFE_PURPLE */
	{0xd186b0, 0xa9648b},
	{0xd99abd, 0xb66c95},
	{0xdfacc8, 0xc474a0},
	/* CHANGES: less, in four steps; alike; more, likewise; gone; new */
	{0xd3e5f5, 0x8797a6},
	{0x9cc7ea, 0x6f9fc6},
	{0x6aabdf, 0x58a8e6},
	{0x4590d2, 0x7fc6ff},
	{0xd5d5d5, 0x808080},
	{0xfde3c4, 0xa6988a},
	{0xfbbf7c, 0xc59a63},
	{0xf0953c, 0xe39b3c},
	{0xdc7410, 0xffbb55},
	{0x4590d2, 0x7fc6ff},
	{0xdc7410, 0xffbb55},
};

/* Where a hue's shades begin in colours[], and how many they are. */
static const struct {
	unsigned char first;
	unsigned char count;
} hues[HUE_COUNT] = {
	[WARM] = {0, 10},        [BLUE] = {10, 5},        [TEAL] = {15, 4},
	[GREEN] = {19, 4},       [VIOLET] = {23, 4},      [ROSE] = {27, 3},
	[OLIVE] = {30, 3},       [BROWN] = {33, 3},       [INDIGO] = {36, 3},
	[GREY] = {39, 1},        [SLATE] = {40, 3},       [PALE] = {43, 1},
	[SAFE_ORANGE] = {44, 3}, [SAFE_SKY] = {47, 3},    [SAFE_GREEN] = {50, 3},
	[SAFE_YELLOW] = {53, 3}, [SAFE_PURPLE] = {56, 3}, [CHANGES] = {59, 11},
};
#define COLOUR_COUNT (sizeof(colours) / sizeof(*colours))
_Static_assert(COLOUR_COUNT == 70, "hues[] covers colours[]");

/* A kind's hues [first, last] and what a legend says of it; NULL: nothing. */
struct palette_group {
	enum hue first;
	enum hue last;
	const char *legend;
};
#define KINDS (FRAME_KIND_COUNT + 1) /* and LABEL_COMM */

static const struct palette_group by_kind[KINDS] = {
	[FRAME_USER] = {WARM, WARM, "user"},
	[FRAME_KERNEL] = {BLUE, BLUE, "kernel"},
	[FRAME_INLINE] = {TEAL, TEAL, "inlined"},
	[FRAME_JIT] = {GREEN, GREEN, "JIT"},
	[FRAME_INTERPRETED] = {VIOLET, VIOLET, "interpreted"},
	[FRAME_SPECIAL] = {GREY, GREY, "no code: a reason"},
	[LABEL_COMM] = {SLATE, SLATE, NULL},
};
static const struct palette_group all_hot[KINDS] = {
	[FRAME_USER] = {WARM, WARM, NULL},
	[FRAME_KERNEL] = {WARM, WARM, NULL},
	[FRAME_INLINE] = {WARM, WARM, NULL},
	[FRAME_JIT] = {WARM, WARM, NULL},
	[FRAME_INTERPRETED] = {WARM, WARM, NULL},
	[FRAME_SPECIAL] = {GREY, GREY, "no code: a reason"},
	[LABEL_COMM] = {SLATE, SLATE, NULL},
};
static const struct palette_group by_module[KINDS] = {
	[FRAME_USER] = {SLATE, SLATE, "other modules"},
	[FRAME_KERNEL] = {BLUE, BLUE, "kernel"},
	[FRAME_INLINE] = {SLATE, SLATE, "other modules"},
	[FRAME_JIT] = {SLATE, SLATE, "other modules"},
	[FRAME_INTERPRETED] = {SLATE, SLATE, "other modules"},
	[FRAME_SPECIAL] = {GREY, GREY, "no code: a reason"},
	[LABEL_COMM] = {PALE, PALE, NULL},
};
static const struct palette_group memory_greens[KINDS] = {
	[FRAME_USER] = {TEAL, GREEN, NULL},
	[FRAME_KERNEL] = {BLUE, BLUE, "kernel"},
	[FRAME_INLINE] = {TEAL, GREEN, NULL},
	[FRAME_JIT] = {TEAL, GREEN, NULL},
	[FRAME_INTERPRETED] = {TEAL, GREEN, NULL},
	[FRAME_SPECIAL] = {GREY, GREY, "no code: a reason"},
	[LABEL_COMM] = {SLATE, SLATE, NULL},
};
static const struct palette_group by_name[KINDS] = {
	[FRAME_USER] = {WARM, INDIGO, NULL},
	[FRAME_KERNEL] = {WARM, INDIGO, NULL},
	[FRAME_INLINE] = {WARM, INDIGO, NULL},
	[FRAME_JIT] = {WARM, INDIGO, NULL},
	[FRAME_INTERPRETED] = {WARM, INDIGO, NULL},
	[FRAME_SPECIAL] = {GREY, GREY, "no code: a reason"},
	[LABEL_COMM] = {SLATE, SLATE, NULL},
};
static const struct palette_group colour_blind[KINDS] = {
	[FRAME_USER] = {SAFE_ORANGE, SAFE_ORANGE, "user"},
	[FRAME_KERNEL] = {SAFE_SKY, SAFE_SKY, "kernel"},
	[FRAME_INLINE] = {SAFE_GREEN, SAFE_GREEN, "inlined"},
	[FRAME_JIT] = {SAFE_YELLOW, SAFE_YELLOW, "JIT"},
	[FRAME_INTERPRETED] = {SAFE_PURPLE, SAFE_PURPLE, "interpreted"},
	[FRAME_SPECIAL] = {GREY, GREY, "no code: a reason"},
	[LABEL_COMM] = {SLATE, SLATE, NULL},
};

const struct palette_style palette_styles[] = {
	{"kind", "user, kernel, inlined, JIT and interpreted code apart", by_kind, 0},
	{"hot", "reds and yellows for everything", all_hot, 0},
	{"module", "a hue for each of the largest modules", by_module, 1},
	{"memory", "greens, for profiles of memory", memory_greens, 0},
	{"name", "by the function's name alone, all hues", by_name, 0},
	{"colour-blind", "kinds apart, for all kinds of colour vision", colour_blind, 0},
};
const size_t palette_style_count = sizeof(palette_styles) / sizeof(*palette_styles);

/* Given out to modules from the largest on; blue is the kernel's. */
static const enum hue module_hues[] = {WARM, TEAL, VIOLET, GREEN, INDIGO, ROSE, OLIVE, BROWN};
#define MODULE_HUES (sizeof(module_hues) / sizeof(*module_hues))

const struct palette_style *palette_find(const char *name)
{
	for (size_t i = 0; i < palette_style_count; i++) {
		if (!strcmp(palette_styles[i].name, name))
			return &palette_styles[i];
	}
	return NULL;
}

char *palette_names(void)
{
	struct strbuf names = {0};

	for (size_t i = 0; i < palette_style_count; i++) {
		strbuf_puts(&names, i ? ", " : "");
		strbuf_puts(&names, palette_styles[i].name);
	}
	if (strbuf_error(&names))
		strbuf_deinit(&names);
	return names.data;
}

static bool has_module_hue(const struct label *label)
{
	return label->module && label->kind != FRAME_KERNEL && label->kind != FRAME_SPECIAL &&
	       label->kind != LABEL_COMM;
}

/* Ties go to the module that was seen first, so that the same profile gives the
 * same picture. */
static int rank_modules(struct palette *palette, const uint64_t *weights)
{
	size_t strings = strtab_count(&palette->labels->profile->strings);
	_cleanup_free_ uint64_t *sums = calloc(strings, sizeof(*sums));

	palette->of_module = malloc(strings * sizeof(*palette->of_module));
	if (!sums || !palette->of_module)
		return -ENOMEM;
	for (uint32_t i = 0; i < palette->labels->items.count; i++) {
		const struct label *label = &palette->labels->items.items[i];

		if (has_module_hue(label))
			sums[label->module] = profile_sum(sums[label->module], weights[i]);
	}
	for (size_t i = 0; i < strings; i++)
		palette->of_module[i] = HUE_COUNT;
	for (size_t given = 0; given < MODULE_HUES; given++) {
		size_t largest = 0;

		for (size_t i = 1; i < strings; i++) {
			if (sums[i] > sums[largest])
				largest = i;
		}
		if (!sums[largest])
			break;
		sums[largest] = 0;
		palette->of_module[largest] = module_hues[given];
	}
	return 0;
}

int palette_init(struct palette *palette, const struct palette_style *style,
		 const struct labels *labels, const uint64_t *weights)
{
	int r = 0;

	*palette = (struct palette){.style = style, .labels = labels};
	if (style->by_module)
		r = rank_modules(palette, weights);
	if (r)
		palette_deinit(palette);
	return r;
}

void palette_deinit(struct palette *palette)
{
	free(palette->of_module);
	palette->of_module = NULL;
}

/* The hues of a label's group: colours [*ret_first, *ret_first + *ret_count). */
static void shades_of(const struct palette *palette, const struct label *label, unsigned *ret_first,
		      unsigned *ret_count)
{
	const struct palette_group *group = &palette->style->groups[label->kind];
	enum hue first = group->first, last = group->last;

	if (palette->of_module && has_module_hue(label) &&
	    palette->of_module[label->module] != HUE_COUNT)
		first = last = (enum hue)palette->of_module[label->module];
	*ret_first = hues[first].first;
	*ret_count = (unsigned)(hues[last].first + hues[last].count) - *ret_first;
}

unsigned palette_colour(const struct palette *palette, uint32_t label)
{
	unsigned first, count;
	const char *name;
	size_t length;

	if (label == PROFILE_NONE)
		return hues[PALE].first;
	shades_of(palette, &palette->labels->items.items[label], &first, &count);
	name = label_text(palette->labels, label, &length);
	return first + (unsigned)(XXH3_64bits(name, length) % count);
}

unsigned palette_change_colour(enum palette_change change)
{
	return hues[CHANGES].first + (unsigned)change;
}

/* flame_tree.js has the same rule, for trees that it turns over. */
unsigned palette_change_of(double before, double after)
{
	double larger = before > after ? before : after, delta = fabs(after - before);
	unsigned step = larger > 0 ? (unsigned)ceil(4 * delta / larger) : 0;

	if (!(larger > 0))
		return PALETTE_ALIKE;
	if (!(before > 0) || !(after > 0))
		return before > 0 ? PALETTE_GONE : PALETTE_NEW;
	if (delta < 1 || !step)
		return PALETTE_ALIKE;
	return (after > before ? PALETTE_MORE : PALETTE_LESS) + (step > 4 ? 4 : step) - 1;
}

unsigned palette_colours(void)
{
	return COLOUR_COUNT;
}

const char *palette_explain(const struct palette *palette, uint32_t label, unsigned *ret_group,
			    unsigned *ret_colour)
{
	const struct label *item = &palette->labels->items.items[label];
	const char *text = palette->style->groups[item->kind].legend;
	unsigned first, count;

	if (palette->of_module && has_module_hue(item) &&
	    palette->of_module[item->module] != HUE_COUNT)
		text = profile_text(palette->labels->profile, item->module);
	shades_of(palette, item, &first, &count);
	*ret_group = first;
	*ret_colour = first + count / 2;
	return text;
}

static void put_rules(struct strbuf *out, const uint8_t *used, bool dark)
{
	for (unsigned i = 0; i < COLOUR_COUNT; i++) {
		if (!used || used[i])
			strbuf_printf(out, ".c%u{fill:#%06x}", i,
				      dark ? colours[i].dark : colours[i].light);
	}
	strbuf_putc(out, '\n');
}

void palette_put_css(struct strbuf *out, const uint8_t *used)
{
	put_rules(out, used, false);
	strbuf_puts(out, "@media (prefers-color-scheme: dark) {\n");
	put_rules(out, used, true);
	strbuf_puts(out, "}\n");
}
