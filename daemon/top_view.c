/* SPDX-License-Identifier: GPL-2.0-or-later */
#define NCURSES_WIDECHAR 1
#include "daemon/top_view.h"

#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "flamegraph/text.h"

#define HEAD_LINES 3
#define FOOT_LINES 1
#define MODULE_WIDTH 16
#define WIDE 110
#define TREND_NARROW 10
#define ESCAPE_DELAY_MS 25
#define KEY_REDRAW ('L' & 0x1f)
#define FIRST_NS (500 * NSEC_PER_MSEC)
#define RETRY_NS (2 * NSEC_PER_SEC)

enum { PAIR_PLAIN, PAIR_PLACE, PAIR_KERNEL, PAIR_ALARM };

struct screen {
	struct top_view *view;
	struct top_rows rows;
	bool utf8, color;
	bool connected;
	int signal; /* that ended it; 0 */
	uint64_t ask_at; /* boot time, ns; 0: an interval is asked for */
	char trouble[160]; /* "" : none */
};

/* ---- drawing ---- */

/* One line, cut to the screen's width; what the terminal has no character for is '?'. */
static void put_line(const struct screen *screen, int y, struct strbuf *text, attr_t attributes)
{
	_cleanup_(strbuf_deinit) struct strbuf fit = {0};

	text_put_fit(&fit, strbuf_text(text), text->length, (size_t)COLS);
	for (size_t i = 0; !screen->utf8 && i < fit.length; i++)
		if ((unsigned char)fit.data[i] >= 0x80)
			fit.data[i] = '?';
	attrset(attributes);
	mvaddstr(y, 0, strbuf_text(&fit));
	if (attributes & A_REVERSE) {
		int at = getcurx(stdscr);

		if (getcury(stdscr) == y)
			for (; at < COLS; at++)
				addch(' ');
	}
	attrset(A_NORMAL);
	strbuf_clear(text);
}

static attr_t pair(const struct screen *screen, int number, attr_t otherwise)
{
	return screen->color ? COLOR_PAIR(number) : otherwise;
}

static void put_cells(struct strbuf *out, const char *text, size_t width)
{
	size_t cells = text_put_fit(out, text, strlen(text), width);

	for (; cells < width; cells++)
		strbuf_putc(out, ' ');
}

/* The least level that is something is drawn: a row that was idle looks idle. */
static void put_trend(const struct screen *screen, struct strbuf *out, const struct top_row *row,
		      uint32_t width)
{
	static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	static const char *const plain[] = {" ", ".", ":", "-", "=", "+", "*", "#", "@"};
	const char *const *marks = screen->utf8 ? blocks : plain;
	uint32_t most = 1, count = screen->rows.trend_count;
	uint32_t from = count > width ? count - width : 0;

	for (uint32_t i = from; i < count; i++)
		most = row->trend[i] > most ? row->trend[i] : most;
	for (uint32_t i = count - from; i < width; i++)
		strbuf_putc(out, ' ');
	for (uint32_t i = from; i < count; i++)
		strbuf_puts(out,
			    marks[row->trend[i] ? 1 + (row->trend[i] * 7 + most / 2) / most : 0]);
}

static void put_process(const struct screen *screen, struct strbuf *out, const struct top_row *row)
{
	strbuf_printf(out, "%8u ", row->pid);
	top_put_percent(out, row->cpu, 7);
	top_put_bytes(out, row->rss_bytes, row->rss_known, 8);
	top_put_rate(out, row->faults, 10);
	strbuf_puts(out, "  ");
	put_trend(screen, out, row, TOP_KEPT);
	strbuf_puts(out, "  ");
	strbuf_puts(out, top_rows_text(&screen->rows, row->text));
}

/* Names need the room more. */
static int code_trend(void)
{
	return COLS < WIDE ? TREND_NARROW : (int)TOP_KEPT;
}

static void put_function(const struct screen *screen, struct strbuf *out, const struct top_row *row)
{
	const char *module = top_rows_text(&screen->rows, row->module);
	const char *mark = top_kind_mark(row->kind);
	const char *slash = strrchr(module, '/');
	int wide = COLS - 8 - 9 - 2 - code_trend() - 2 - 2 - MODULE_WIDTH;

	if (screen->view->state->level == TOP_FUNCTIONS)
		top_put_percent(out, row->self, 8);
	else
		strbuf_puts(out, "        ");
	top_put_percent(out, row->total, 9);
	strbuf_puts(out, "  ");
	put_trend(screen, out, row, (uint32_t)code_trend());
	strbuf_puts(out, "  ");
	put_cells(out, top_rows_text(&screen->rows, row->text), wide > 12 ? (size_t)wide : 12);
	strbuf_puts(out, "  ");
	put_cells(out, *module ? (slash ? slash + 1 : module) : mark ? mark : "", MODULE_WIDTH);
}

static void draw_rows(const struct screen *screen)
{
	const struct top_state *state = screen->view->state;
	_cleanup_(strbuf_deinit) struct strbuf line = {0};

	for (int y = HEAD_LINES; y < LINES - FOOT_LINES; y++) {
		size_t at = state->first + (size_t)(y - HEAD_LINES);
		const struct top_row *row;
		attr_t attributes = A_NORMAL;

		if (at >= screen->rows.items.count)
			return;
		row = &screen->rows.items.items[at];
		if (state->level == TOP_PROCESSES)
			put_process(screen, &line, row);
		else
			put_function(screen, &line, row);
		if (state->level != TOP_PROCESSES && row->kind == FRAME_KERNEL)
			attributes = pair(screen, PAIR_KERNEL, A_NORMAL);
		if (at == state->selected)
			attributes = A_REVERSE;
		put_line(screen, y, &line, attributes);
	}
}

/* Which rows these are: "processes", "redis-server (12)  > dictFind > callers". */
static void put_place(const struct screen *screen, struct strbuf *out)
{
	const struct top_state *state = screen->view->state;

	if (state->level == TOP_PROCESSES)
		strbuf_puts(out, "processes");
	else if (state->pid)
		strbuf_printf(out, "%s (%u)", state->comm, state->pid);
	else
		strbuf_puts(out, "all processes");
	if (state->level == TOP_FUNCTIONS)
		strbuf_puts(out, "  functions");
	for (size_t i = 0; i < state->chain_count; i++)
		strbuf_printf(out, "%s%s", i ? " < " : "  callers of ", state->chain[i].text);
	if (state->level != TOP_PROCESSES)
		strbuf_printf(out, "  (last %.0f s)",
			      (double)top_model_kept_ns(screen->view->model) / 1e9);
	strbuf_printf(out, "  by %s%s", top_sort_name(screen->rows.sort),
		      state->reversed[state->level] ? ", reversed" : "");
	if (state->filter[0] && !state->typing)
		strbuf_printf(out, "  filter \"%s\" (%llu hidden)", state->filter,
			      (unsigned long long)screen->rows.hidden);
}

static void draw_head(const struct screen *screen)
{
	const struct top_state *state = screen->view->state;
	_cleanup_(strbuf_deinit) struct strbuf line = {0};

	if (screen->trouble[0])
		strbuf_puts(&line, screen->trouble);
	else if (!top_model_newest(screen->view->model))
		strbuf_puts(&line, "perfd looks; the first rows come in a moment");
	else
		top_print_head(screen->view->model, screen->view->print, &line);
	if (state->paused)
		strbuf_puts(&line, "  PAUSED");
	put_line(screen, 0, &line,
		 screen->trouble[0] ? A_BOLD | pair(screen, PAIR_ALARM, 0) : A_BOLD);
	put_place(screen, &line);
	put_line(screen, 1, &line, pair(screen, PAIR_PLACE, A_NORMAL));
	if (state->level == TOP_PROCESSES)
		strbuf_printf(&line, "     PID    CPU%%     RSS  FAULTS/S  %*s  COMMAND",
			      (int)TOP_KEPT, "CPU TREND");
	else
		strbuf_printf(&line, "%8s   TOTAL%%  %*s  %s",
			      state->level == TOP_FUNCTIONS ? "SELF%" : "", code_trend(), "TREND",
			      state->level == TOP_FUNCTIONS ? "FUNCTION" : "CALLER");
	put_line(screen, 2, &line, A_REVERSE);
}

static void draw_foot(const struct screen *screen)
{
	const struct top_state *state = screen->view->state;
	_cleanup_(strbuf_deinit) struct strbuf line = {0};

	if (state->typing)
		strbuf_printf(&line, "filter: %s", state->filter);
	else
		strbuf_puts(&line, "q quit  Enter deeper  Backspace back  f functions  <> order  "
				   "/ filter  h help");
	put_line(screen, LINES - 1, &line, state->typing ? A_BOLD : A_DIM);
}

static void draw_help(const struct screen *screen)
{
	static const char *const lines[] = {
		"perfctl top: what runs now",
		"",
		"Up Down PgUp PgDn Home End   select; the selection follows its row",
		"Enter Right                  a process's functions, a function's callers",
		"Backspace Left Esc           back",
		"f                            functions of all processes, and back",
		"< >                          another order",
		"C M F P N, S T N             order: CPU, memory, faults, pid, name; self, total",
		"r                            the other way round",
		"/                            filter: a regular expression or a text; Esc: none",
		"p Space                      pause; then one interval for all the time since",
		"q Ctrl-C                     quit",
		"",
		"CPU%      of one CPU, by samples        RSS       resident memory",
		"SELF%     in the function itself        TOTAL%    with all that it called",
		"          both of the time of what is shown, over the last intervals",
		"FAULTS/S  page faults: new memory       lost      samples that did not arrive",
		"",
		"Any key goes back.",
	};
	_cleanup_(strbuf_deinit) struct strbuf line = {0};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]) && (int)i < LINES; i++) {
		strbuf_puts(&line, lines[i]);
		put_line(screen, (int)i, &line, i ? A_NORMAL : A_BOLD);
	}
}

static size_t row_lines(void)
{
	return LINES > HEAD_LINES + FOOT_LINES ? (size_t)(LINES - HEAD_LINES - FOOT_LINES) : 0;
}

static void draw(const struct screen *screen)
{
	erase();
	if (screen->view->state->help) {
		draw_help(screen);
	} else {
		draw_head(screen);
		draw_rows(screen);
		draw_foot(screen);
	}
	refresh();
}

/* ---- rows, keys, signals ---- */

static void make_rows(struct screen *screen)
{
	struct top_query query = top_state_query(screen->view->state);
	struct top_rows rows;

	if (top_rows_init(&rows, screen->view->model, &query)) {
		snprintf(screen->trouble, sizeof(screen->trouble), "no memory for the rows");
		return;
	}
	top_rows_deinit(&screen->rows);
	screen->rows = rows;
	top_state_settle(screen->view->state, &screen->rows, row_lines());
}

static uint32_t key_of(int r, wint_t c)
{
	static const struct {
		wint_t from;
		uint32_t to;
	} keys[] = {
		{KEY_UP, TOP_KEY_UP},          {KEY_DOWN, TOP_KEY_DOWN},
		{KEY_PPAGE, TOP_KEY_PAGE_UP},  {KEY_NPAGE, TOP_KEY_PAGE_DOWN},
		{KEY_HOME, TOP_KEY_HOME},      {KEY_END, TOP_KEY_END},
		{KEY_ENTER, TOP_KEY_ENTER},    {KEY_RIGHT, TOP_KEY_ENTER},
		{KEY_BACKSPACE, TOP_KEY_BACK}, {KEY_LEFT, TOP_KEY_BACK},
		{KEY_DC, TOP_KEY_BACK},
	};

	if (r != KEY_CODE_YES)
		return c == '\n' || c == '\r'   ? TOP_KEY_ENTER
		       : c == 0x7f || c == '\b' ? TOP_KEY_BACK
		       : c == 0x1b              ? TOP_KEY_ESCAPE
						: (uint32_t)c;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (keys[i].from == c)
			return keys[i].to;
	return 0;
}

/* All keys that are there. False: the terminal is gone. */
static bool take_keys(struct screen *screen)
{
	wint_t c;
	int r;

	while ((r = get_wch(&c)) != ERR) {
		uint32_t key = key_of(r, c);
		enum top_level level = screen->view->state->level;

		/* Another page is drawn anew, over whatever else wrote to the terminal. */
		if (key == KEY_REDRAW)
			clearok(curscr, TRUE);
		if (key && top_state_key(screen->view->state, key, &screen->rows, row_lines()))
			make_rows(screen);
		if (screen->view->state->level != level)
			clearok(curscr, TRUE);
	}
	return true;
}

static void resize(struct screen *screen)
{
	struct winsize size;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_row && size.ws_col)
		resizeterm(size.ws_row, size.ws_col);
	clearok(stdscr, TRUE);
	top_state_settle(screen->view->state, &screen->rows, row_lines());
}

static void take_signal(struct screen *screen, int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH)
		resize(screen);
	else
		screen->signal = (int)info.ssi_signo;
}

/* ---- perfd ---- */

static void lose(struct screen *screen, const struct error *error)
{
	top_feed_close(screen->view->feed);
	screen->connected = false;
	screen->ask_at = clock_boot_ns() + RETRY_NS;
	snprintf(screen->trouble, sizeof(screen->trouble), "%.120s; trying again", error->text);
}

static void ask(struct screen *screen)
{
	struct top_view *view = screen->view;
	struct error error = {0};
	int r = 0;

	if (!screen->connected)
		r = top_feed_open(view->feed, view->options, &error);
	if (!r)
		r = top_feed_ask(view->feed, &error);
	if (r) {
		lose(screen, &error);
		return;
	}
	screen->connected = true;
	screen->ask_at = 0;
}

static void take_answer(struct screen *screen)
{
	struct top_view *view = screen->view;
	struct error error = {0};
	int r = top_feed_poll(view->feed, view->model, &error);

	if (r == -EAGAIN)
		return;
	if (r) {
		lose(screen, &error);
		return;
	}
	screen->trouble[0] = 0;
	screen->ask_at = clock_boot_ns() + view->interval_ns;
	make_rows(screen);
}

/* ---- the loop ---- */

static int wait_ms(const struct screen *screen)
{
	uint64_t now = clock_boot_ns();

	if (!screen->ask_at || screen->view->state->paused)
		return -1;
	return screen->ask_at > now ? (int)((screen->ask_at - now) / NSEC_PER_MSEC) + 1 : 0;
}

static bool goes_on(const struct screen *screen)
{
	const struct top_view *view = screen->view;

	return !view->state->quit && !screen->signal &&
	       (!view->rounds || view->model->count < view->rounds);
}

static void loop(struct screen *screen, int signals)
{
	while (goes_on(screen)) {
		struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
				       {.fd = signals, .events = POLLIN},
				       {.fd = screen->connected && !screen->ask_at
						      ? top_feed_fd(screen->view->feed)
						      : -1,
					.events = POLLIN}};

		draw(screen);
		if (poll(fds, 3, wait_ms(screen)) < 0 && errno != EINTR)
			return;
		if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
			return;
		take_keys(screen);
		if (fds[1].revents)
			take_signal(screen, signals);
		if (fds[2].revents)
			take_answer(screen);
		if (screen->ask_at && !screen->view->state->paused &&
		    clock_boot_ns() >= screen->ask_at)
			ask(screen);
	}
}

static void set_up(struct screen *screen)
{
	const char *no_color = getenv("NO_COLOR");

	screen->utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	screen->color = !(no_color && *no_color) && has_colors();
	if (screen->color) {
		start_color();
		use_default_colors();
		init_pair(PAIR_PLACE, COLOR_CYAN, -1);
		init_pair(PAIR_KERNEL, COLOR_YELLOW, -1);
		init_pair(PAIR_ALARM, COLOR_RED, -1);
	}
	cbreak();
	noecho();
	nonl();
	intrflush(stdscr, FALSE);
	typeahead(-1); /* a screen is drawn whole, also while keys come */
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	curs_set(0);
}

int top_view_run(struct top_view *view, struct error *error)
{
	struct screen screen = {.view = view, .connected = true};
	_cleanup_close_ int signals = -1;
	SCREEN *terminal;
	sigset_t set;

	setlocale(LC_CTYPE, "");
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGWINCH);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		return error_set(error, -errno, "signalfd: %s", strerror(errno));
	set_escdelay(ESCAPE_DELAY_MS);
	terminal = newterm(NULL, stdout, stdin);
	if (!terminal)
		return error_set(
			error, -ENOTTY,
			"the terminal (TERM=%s) cannot show a screen: use --once or --json",
			getenv("TERM") ? getenv("TERM") : "");
	set_up(&screen);
	/* Of the time since the sessions were opened: enough of it to be worth a look. */
	screen.ask_at =
		clock_boot_ns() + (view->interval_ns < FIRST_NS ? view->interval_ns : FIRST_NS);
	loop(&screen, signals);
	endwin();
	delscreen(terminal);
	top_rows_deinit(&screen.rows);
	return screen.signal;
}
