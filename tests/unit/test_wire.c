/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "symbolizer/channel.h"
#include "symbolizer/wire.h"
#include "tests/unit/workshop.h"

static void names_payload(struct strbuf *ret, const char *first)
{
	struct symbolizer_frame frames[] = {
		{.name = first, .module = "", .file = "a.c", .line = 7, .inlined = true},
		{.name = "outer", .module = "ext4", .file = "", .line = 0},
	};
	struct wire_out out = {0};

	ck_assert_int_eq(wire_out_name(&out, frames, 2), 0);
	ck_assert_int_eq(wire_out_name(&out, NULL, 0), 0);
	ck_assert_int_eq(wire_out_name(&out, frames + 1, 1), 0);
	ck_assert_int_eq(wire_out_finish(&out, ret), 0);
	wire_out_deinit(&out);
}

START_TEST(names_round_trip)
{
	struct strbuf payload = {0};
	struct error error = {0};
	struct wire_names names;

	names_payload(&payload, "inner\nforged");
	ck_assert_msg(!wire_get_names(payload.data, payload.length, 3, &error, &names), "%s",
		      error.text);
	ck_assert_uint_eq(names.names.count, 3);
	ck_assert_uint_eq(names.names.items[0].frame_count, 2);
	/* No newline may come through to a log or a folded file. */
	ck_assert_str_eq(names.names.items[0].frames[0].name, "inner?forged");
	ck_assert_str_eq(names.names.items[0].frames[0].file, "a.c");
	ck_assert_uint_eq(names.names.items[0].frames[0].line, 7);
	ck_assert(names.names.items[0].frames[0].inlined);
	ck_assert_str_eq(names.names.items[0].frames[1].name, "outer");
	ck_assert_str_eq(names.names.items[0].frames[1].module, "ext4");
	ck_assert_uint_eq(names.names.items[1].frame_count, 0);
	ck_assert_str_eq(names.names.items[2].frames[0].name, "outer");
	wire_names_deinit(&names);
	strbuf_deinit(&payload);
}
END_TEST

START_TEST(no_names_at_all)
{
	struct strbuf payload = {0};
	struct error error = {0};
	struct wire_out out = {0};
	struct wire_names names;

	ck_assert_int_eq(wire_out_name(&out, NULL, 0), 0);
	ck_assert_int_eq(wire_out_finish(&out, &payload), 0);
	ck_assert_int_eq(wire_get_names(payload.data, payload.length, 1, &error, &names), 0);
	ck_assert_uint_eq(names.names.items[0].frame_count, 0);
	ck_assert_ptr_null(names.names.items[0].frames);
	wire_names_deinit(&names);
	wire_out_deinit(&out);
	strbuf_deinit(&payload);
}
END_TEST

START_TEST(no_name_but_a_beginning)
{
	struct symbolizer_frame frame = {.name = "f", .module = "", .file = ""};
	struct strbuf payload = {0};
	struct error error = {0};
	struct wire_out out = {0};
	struct wire_names names;

	ck_assert_int_eq(wire_out_nameless(&out, 0x123456789a, 77), 0);
	ck_assert_int_eq(wire_out_name(&out, &frame, 1), 0);
	ck_assert_int_eq(wire_out_nameless(&out, 0, 0), 0);
	ck_assert_int_eq(wire_out_finish(&out, &payload), 0);
	ck_assert_int_eq(wire_get_names(payload.data, payload.length, 3, &error, &names), 0);
	ck_assert_uint_eq(names.names.items[0].frame_count, 0);
	ck_assert_uint_eq(names.names.items[0].start, 0x123456789a);
	ck_assert_uint_eq(names.names.items[0].size, 77);
	ck_assert_str_eq(names.names.items[1].frames[0].name, "f");
	ck_assert_uint_eq(names.names.items[1].start, 0);
	ck_assert_uint_eq(names.names.items[2].start, 0);
	wire_names_deinit(&names);
	wire_out_deinit(&out);
	strbuf_deinit(&payload);
}
END_TEST

START_TEST(long_names_are_cut)
{
	struct strbuf payload = {0};
	struct error error = {0};
	struct wire_names names;
	char longer[3 * WIRE_NAME_MAX];

	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	names_payload(&payload, longer);
	ck_assert_msg(!wire_get_names(payload.data, payload.length, 3, &error, &names), "%s",
		      error.text);
	ck_assert_uint_eq(strlen(names.names.items[0].frames[0].name), WIRE_NAME_MAX);
	wire_names_deinit(&names);
	strbuf_deinit(&payload);
}
END_TEST

/* Not one byte less, not one more, and not another number of names. */
START_TEST(damaged_names)
{
	struct strbuf payload = {0};
	struct error error = {0};
	struct wire_names names;

	names_payload(&payload, "inner");
	ck_assert_int_eq(wire_get_names(payload.data, payload.length, 2, &error, &names), -EBADMSG);
	ck_assert_int_eq(wire_get_names(payload.data, payload.length, 4, &error, &names), -EBADMSG);
	for (size_t n = 0; n < payload.length; n++) {
		uint8_t *prefix = malloc(n + !n);

		memcpy(prefix, payload.data, n);
		ck_assert_int_eq(wire_get_names(prefix, n, 3, &error, &names), -EBADMSG);
		ck_assert_msg(strstr(error.text, "damaged"), "%s", error.text);
		free(prefix);
	}
	strbuf_u8(&payload, 0);
	ck_assert_int_eq(wire_get_names(payload.data, payload.length, 3, &error, &names), -EBADMSG);
	/* A count that asks for the moon. */
	memset(payload.data, 0xff, 4);
	ck_assert_int_eq(wire_get_names(payload.data, payload.length, 3, &error, &names), -EBADMSG);
	strbuf_deinit(&payload);
}
END_TEST

START_TEST(mappings_round_trip)
{
	struct symbolizer_mapping mapping = {.start = 0x1000,
					     .length = 0x2000,
					     .offset = 0x3000,
					     .inode = 1ULL << 40,
					     .dev_major = 8,
					     .dev_minor = 1,
					     .executable = true,
					     .path = "/with\nnewline",
					     .deleted = true};
	struct wire_mappings mappings;
	struct strbuf payload = {0};
	struct error error = {0};
	struct wire_out out = {0};
	const struct symbolizer_mapping *got;

	ck_assert_int_eq(wire_out_mapping(&out, &mapping), 0);
	mapping.start = UINT64_MAX;
	ck_assert_int_eq(wire_out_finish(&out, &payload), 0);
	ck_assert_msg(!wire_get_mappings(payload.data, payload.length, &error, &mappings), "%s",
		      error.text);
	ck_assert_uint_eq(mappings.mappings.count, 1);
	got = &mappings.mappings.items[0];
	ck_assert_uint_eq(got->start, 0x1000);
	ck_assert_uint_eq(got->length, 0x2000);
	ck_assert_uint_eq(got->offset, 0x3000);
	ck_assert_uint_eq(got->inode, 1ULL << 40);
	ck_assert_uint_eq(got->dev_major, 8);
	ck_assert_uint_eq(got->dev_minor, 1);
	ck_assert(got->executable && got->deleted);
	/* A path is to be opened: it stays as it is. */
	ck_assert_str_eq(got->path, "/with\nnewline");
	wire_mappings_deinit(&mappings);
	/* One that wraps around. */
	ck_assert_int_eq(wire_out_mapping(&out, &mapping), 0);
	strbuf_clear(&payload);
	ck_assert_int_eq(wire_out_finish(&out, &payload), 0);
	ck_assert_int_eq(wire_get_mappings(payload.data, payload.length, &error, &mappings),
			 -EBADMSG);
	wire_out_deinit(&out);
	strbuf_deinit(&payload);
}
END_TEST

START_TEST(images)
{
	uint8_t bytes[35] = {
		1, 2, 3, [20] = 20, [21] = 9, [25] = 4, [29] = 'l', '.', 's', 'o', 1, 1};
	struct symbolizer_image image;
	struct error error = {0};

	ck_assert_int_eq(wire_get_image(bytes, 35, &error, &image), 0);
	ck_assert_uint_eq(image.build_id_size, 20);
	ck_assert_uint_eq(image.symbols, 9);
	ck_assert_str_eq(image.debug_name, "l.so");
	ck_assert(image.has_parts && image.debug_info);
	for (size_t size = 0; size < 35; size++)
		ck_assert_int_eq(wire_get_image(bytes, size, &error, &image), -EBADMSG);
	bytes[30] = '/'; /* it would lead elsewhere */
	ck_assert_int_eq(wire_get_image(bytes, 35, &error, &image), -EBADMSG);
	bytes[30] = 0;
	ck_assert_int_eq(wire_get_image(bytes, 35, &error, &image), -EBADMSG);
	bytes[30] = '.';
	bytes[20] = 21;
	ck_assert_int_eq(wire_get_image(bytes, 35, &error, &image), -EBADMSG);
}
END_TEST

struct pair {
	int ends[2];
	struct channel_in in;
};

static void pair_open(struct pair *pair)
{
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair->ends),
		0);
	channel_in_init(&pair->in);
}

static void pair_close(struct pair *pair)
{
	channel_in_deinit(&pair->in);
	close(pair->ends[0]);
	close(pair->ends[1]);
}

/* A message of several packets, more than the socket holds at once. */
START_TEST(fragments)
{
	struct channel_out out = {.header = {.id = 5, .kind = WIRE_IMAGE_NAMES}, .fd = -1};
	struct strbuf payload = {0};
	unsigned waits = 0;
	struct pair pair;
	int sent, got = 0;

	pair_open(&pair);
	for (uint32_t i = 0; i < 1000000; i++)
		strbuf_u32(&payload, i);
	out.payload = payload.data;
	out.size = payload.length;
	do {
		sent = channel_send(pair.ends[0], &out);
		waits += sent == -EAGAIN;
		ck_assert(sent == 0 || sent == -EAGAIN);
		got = channel_receive(pair.ends[1], &pair.in, false);
		ck_assert_int_ge(got, 0);
	} while (sent == -EAGAIN || !got);
	ck_assert_uint_gt(waits, 0);
	ck_assert_uint_eq(pair.in.header.id, 5);
	ck_assert_uint_eq(pair.in.payload.length, payload.length);
	ck_assert_mem_eq(pair.in.payload.data, payload.data, payload.length);
	strbuf_deinit(&payload);
	pair_close(&pair);
}
END_TEST

START_TEST(a_descriptor_comes_along)
{
	int text = workshop_text("hello", 5), got;
	struct channel_out out = {.header = {.id = 1, .kind = WIRE_MAPS}, .fd = text};
	char bytes[8] = "";
	struct pair pair;

	pair_open(&pair);
	ck_assert_int_eq(channel_send(pair.ends[0], &out), 0);
	close(text);
	ck_assert_int_eq(channel_receive(pair.ends[1], &pair.in, false), 1);
	got = pair.in.fd;
	ck_assert_int_ge(got, 0);
	ck_assert_int_eq(fcntl(got, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(read(got, bytes, 8), 5);
	channel_in_clear(&pair.in);
	ck_assert_int_lt(fcntl(got, F_GETFD), 0); /* closed */
	/* In an answer it has no business. */
	out = (struct channel_out){.header = {.id = 1, .kind = WIRE_MAPS}, .fd = pair.ends[0]};
	ck_assert_int_eq(channel_send(pair.ends[0], &out), 0);
	ck_assert_int_eq(channel_receive(pair.ends[1], &pair.in, true), -EPROTO);
	pair_close(&pair);
}
END_TEST

static int send_raw(struct pair *pair, const struct wire_header *header, const void *bytes,
		    size_t size)
{
	uint8_t packet[512];

	wire_put_header(packet, header);
	memcpy(packet + WIRE_HEADER_SIZE, bytes, size);
	ck_assert_int_gt(send(pair->ends[0], packet, WIRE_HEADER_SIZE + size, 0), 0);
	return channel_receive(pair->ends[1], &pair->in, true);
}

START_TEST(what_is_no_message)
{
	static const struct wire_header headers[] = {
		{.id = 1, .kind = WIRE_KIND_COUNT, .size = 4},
		{.id = 1, .kind = WIRE_HELLO, .size = 5},
		{.id = 1, .kind = WIRE_HELLO, .size = UINT32_MAX},
		{.id = 1, .kind = WIRE_IMAGE_DROP, .size = 4}, /* more than its answer holds */
		{.id = 1, .kind = WIRE_MAPS, .flags = WIRE_MORE}, /* nothing, and more of it */
	};
	struct pair pair;

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		pair_open(&pair);
		ck_assert_int_eq(send_raw(&pair, &headers[i], "1234", headers[i].size ? 4 : 0),
				 -EPROTO);
		pair_close(&pair);
	}
	/* A fragment of another message in between. */
	pair_open(&pair);
	ck_assert_int_eq(
		send_raw(&pair,
			 &(struct wire_header){
				 .id = 1, .kind = WIRE_MAPS, .flags = WIRE_MORE, .size = 4},
			 "1234", 4),
		0);
	ck_assert_int_eq(send_raw(&pair,
				  &(struct wire_header){.id = 2, .kind = WIRE_MAPS, .size = 4},
				  "1234", 4),
			 -EPROTO);
	pair_close(&pair);
	pair_open(&pair);
	ck_assert_int_eq(send(pair.ends[0], "short", 5, 0), 5);
	ck_assert_int_eq(channel_receive(pair.ends[1], &pair.in, true), -EPROTO);
	pair_close(&pair);
}
END_TEST

START_TEST(the_other_end_is_gone)
{
	struct channel_out out = {.header = {.id = 1, .kind = WIRE_HELLO}, .fd = -1};
	struct pair pair;

	signal(SIGPIPE, SIG_DFL); /* it must not come */
	pair_open(&pair);
	ck_assert_int_eq(channel_receive(pair.ends[1], &pair.in, true), 0);
	shutdown(pair.ends[0], SHUT_RDWR);
	ck_assert_int_eq(channel_send(pair.ends[1], &out), -EPIPE);
	ck_assert_int_eq(channel_receive(pair.ends[1], &pair.in, true), -EPIPE);
	pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire");
	TCase *tcase = tcase_create("wire");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, names_round_trip);
	tcase_add_test(tcase, no_names_at_all);
	tcase_add_test(tcase, no_name_but_a_beginning);
	tcase_add_test(tcase, long_names_are_cut);
	tcase_add_test(tcase, damaged_names);
	tcase_add_test(tcase, mappings_round_trip);
	tcase_add_test(tcase, images);
	tcase_add_test(tcase, fragments);
	tcase_add_test(tcase, a_descriptor_comes_along);
	tcase_add_test(tcase, what_is_no_message);
	tcase_add_test(tcase, the_other_end_is_gone);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
