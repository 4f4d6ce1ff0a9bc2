#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Man pages and shell completions, made of what the programs say of themselves, so that
they cannot tell another story than --help does. What --help has no room for stands in
man/*.text, a page each: sections with a title in capitals on a line of its own, paragraphs,
and examples indented by four blanks.

    generate.py PERFD PERFCTL OUT VERSION
"""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def output_of(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def quote(text):
    """For troff: a backslash, a minus that is typed, and a line that begins like a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = "".join(c if c < "\x80" else f"\\[u{ord(c):04X}]" for c in text)
    return "\\&" + text if text[:1] in ".'" else text


class Page:
    def __init__(self, name, section, summary, version):
        self.lines = [f'.TH "{name.upper()}" "{section}" "" "perfd {version}" "perfd"',
                      ".SH NAME", f"{quote(name)} \\- {quote(summary)}"]

    def section(self, title):
        self.lines.append(f'.SH "{title}"')

    def paragraph(self, text):
        self.lines += [".PP", quote(text)]

    def verbatim(self, lines):
        self.lines += [".PP", ".nf", *[quote(line) if line else "\\&" for line in lines], ".fi"]

    def item(self, head, text):
        self.lines += [".TP", f"\\fB{quote(head)}\\fR", quote(text)]

    def text_file(self, path):
        """The page's own prose, if there is any."""
        if not os.path.exists(path):
            return
        with open(path) as file:
            blocks = file.read().strip().split("\n\n")
        for block in blocks:
            lines = block.split("\n")
            if len(lines) == 1 and re.fullmatch(r"[A-Z][A-Z ]+", lines[0]):
                self.section(lines[0])
            elif lines[0].startswith("    "):
                self.verbatim([line[4:] for line in lines])
            else:
                self.paragraph(" ".join(lines))

    def write(self, path):
        with open(path, "w") as file:
            file.write("\n".join(self.lines) + "\n")


OPTION = re.compile(r"^ {2}(-\w, |    )?(--[\w-]+)( [A-Z=]+)?\s{2,}(.*)$")


def options_of(text):
    """[(short or "", long, value name or "", help)] of a help text."""
    found = []
    for line in text.splitlines():
        match = OPTION.match(line)
        if match:
            short, name, value, words = match.groups()
            found.append([(short or "").strip(" ,"), name, (value or "").strip(), words])
        elif found and re.match(r"^ {20,}\S", line):
            found[-1][3] += " " + line.strip()
        elif found and line and not line.startswith(" "):
            pass
    return found


def put_options(page, options):
    page.section("OPTIONS")
    for short, name, value, words in options:
        head = f"{short}, {name}" if short else name
        page.item(f"{head} {value}".strip(), words)


def commands_of(perfctl):
    """[(name, summary)] in the order of perfctl help."""
    return re.findall(r"^ {2}([a-z]+) +(\S.*)$", output_of(perfctl, "help").split("Commands:")[1],
                      re.MULTILINE)


def split_help(text):
    """usage, options, what follows them."""
    usage = text.splitlines()[0].removeprefix("usage: ")
    _, _, rest = text.partition("\nOptions:\n")
    options, _, more = rest.partition("\n\n")
    return usage, options_of(options + "\n"), more.strip("\n")


def write_command_page(perfctl, name, summary, out, version):
    usage, options, more = split_help(output_of(perfctl, "help", name))
    page = Page(f"perfctl-{name}", 1, summary, version)
    page.section("SYNOPSIS")
    page.verbatim([usage])
    put_options(page, options)
    if more:
        page.section("DESCRIPTION")
        page.verbatim(more.splitlines())
    page.text_file(os.path.join(HERE, f"perfctl-{name}.text"))
    page.section("SEE ALSO")
    page.paragraph("perfctl(1), perfd(8)")
    page.write(os.path.join(out, f"perfctl-{name}.1"))


def write_perfctl_page(commands, out, version):
    page = Page("perfctl", 1, "ask perfd, the profiler that stays on", version)
    page.section("SYNOPSIS")
    page.verbatim(["perfctl COMMAND [options]", "perfctl help [COMMAND]"])
    page.text_file(os.path.join(HERE, "perfctl.text"))
    page.section("COMMANDS")
    for name, summary in commands:
        page.item(name, f"{summary}: perfctl-{name}(1)" if name not in ("help", "version")
                  else summary)
    page.section("SEE ALSO")
    page.paragraph("perfd(8), perfd.conf(5)")
    page.write(os.path.join(out, "perfctl.1"))


def write_perfd_page(perfd, out, version):
    page = Page("perfd", 8, "profile this machine all the time", version)
    page.section("SYNOPSIS")
    page.verbatim(["perfd [options]"])
    page.text_file(os.path.join(HERE, "perfd.text"))
    put_options(page, options_of(output_of(perfd, "--help")))
    page.section("SEE ALSO")
    page.paragraph("perfctl(1), perfd.conf(5)")
    page.write(os.path.join(out, "perfd.8"))


def keys_of(perfd):
    """[(key, help, expected)] of perfd --help-config."""
    keys = []
    for line in output_of(perfd, "--help-config").splitlines():
        match = re.match(r"^([a-z_]+\.[a-z_]+) = ", line)
        if match:
            keys.append([match.group(1), []])
        elif keys:
            keys[-1][1].append(line.strip())
    return keys


def write_config_page(perfd, out, version):
    page = Page("perfd.conf", 5, "settings of perfd", version)
    page.text_file(os.path.join(HERE, "perfd.conf.text"))
    section = None
    for key, lines in keys_of(perfd):
        if key.split(".")[0] != section:
            section = key.split(".")[0]
            page.section(f"[{section}]")
        page.item(key.split(".")[1], " ".join(lines))
    page.section("SEE ALSO")
    page.paragraph("perfd(8), perfctl(1)")
    page.write(os.path.join(out, "perfd.conf.5"))


# --- completions ------------------------------------------------------------

BASH = r"""# bash completion for perfctl; made by man/generate.py
_perfctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} options
	COMPREPLY=()
	case $prev in
	-p|--pid)
		COMPREPLY=($(compgen -W "$(ps -e -o pid=)" -- "$cur"))
		return ;;
	-o|--output|-c|--config|-s|--socket)
		COMPREPLY=($(compgen -f -- "$cur"))
		return ;;
@VALUES@	esac
	if [ "$COMP_CWORD" = 1 ]; then
		COMPREPLY=($(compgen -W "@COMMANDS@" -- "$cur"))
		return
	fi
	case ${COMP_WORDS[1]} in
@OPTIONS@	help) options="@COMMANDS@" ;;
	esac
	case $cur in
	-*) COMPREPLY=($(compgen -W "$options" -- "$cur")) ;;
	*) [ "${COMP_WORDS[1]}" = help ] && COMPREPLY=($(compgen -W "$options" -- "$cur")) ||
		COMPREPLY=($(compgen -f -- "$cur")) ;;
	esac
}
complete -o filenames -F _perfctl perfctl
"""


def words_of(more, heading):
    """The first words of an indented list under a heading of the help."""
    _, _, rest = more.partition(heading)
    words = []
    for line in rest.splitlines()[1:]:
        match = re.match(r"^ {2}(\S+)", line)
        if not match:
            break
        words.append(match.group(1))
    return words


def write_bash(path, commands, helps, formats, palettes):
    values = f"\t-f|--format)\n\t\tCOMPREPLY=($(compgen -W \"{' '.join(formats)}\" -- \"$cur\"))\n"
    values += "\t\treturn ;;\n"
    values += f"\t--palette)\n\t\tCOMPREPLY=($(compgen -W \"{' '.join(palettes)}\" -- \"$cur\"))\n"
    values += "\t\treturn ;;\n"
    options = ""
    for name, (_, rows, _) in helps.items():
        words = " ".join(f"{short} {long}".strip() for short, long, _, _ in rows)
        options += f"\t{name}) options=\"{words}\" ;;\n"
    text = BASH.replace("@VALUES@", values).replace("@OPTIONS@", options)
    with open(path, "w") as file:
        file.write(text.replace("@COMMANDS@", " ".join([name for name, _ in commands])))


def zsh_words(text):
    return re.sub(r"([\[\]:'\\])", r"\\\1", text.replace("'", "’"))


def write_zsh(path, commands, helps, formats, palettes):
    actions = {"PID": ":pid:_pids", "FILE": ":file:_files", "FORMAT": f":format:({' '.join(formats)})",
               "PATH": ":path:_files"}
    with open(path, "w") as file:
        file.write("#compdef perfctl\n# made by man/generate.py\n_perfctl() {\n")
        file.write("\tlocal -a commands\n\tcommands=(\n")
        for name, summary in commands:
            file.write(f"\t\t'{name}:{zsh_words(summary)}'\n")
        file.write("\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe command commands\n"
                   "\t\treturn\n\tfi\n\tlocal command=$words[2]\n\tshift words\n"
                   "\t(( CURRENT-- ))\n\tcase $command in\n")
        for name, (_, rows, _) in helps.items():
            file.write(f"\t{name})\n\t\t_arguments")
            for short, long, value, words in rows:
                action = actions.get(value, f":{value.lower()}:" if value else "")
                if long == "--palette":
                    action = f":palette:({' '.join(palettes)})"
                both = f"({short} {long})'{{{short},{long}}}'" if short else long
                file.write(f" \\\n\t\t\t'{both}[{zsh_words(words)}]{action}'")
            file.write(" \\\n\t\t\t'*:file:_files'\n\t\t;;\n")
        file.write("\thelp) _describe command commands ;;\n\tesac\n}\n_perfctl \"$@\"\n")


def fish_words(text):
    return text.replace("\\", "\\\\").replace("'", "\\'")


def write_fish(path, commands, helps, formats, palettes):
    with open(path, "w") as file:
        file.write("# made by man/generate.py\n")
        for name, summary in commands:
            file.write("complete -c perfctl -n __fish_use_subcommand -f "
                       f"-a {name} -d '{fish_words(summary)}'\n")
        for name, (_, rows, _) in helps.items():
            for short, long, value, words in rows:
                line = f"complete -c perfctl -n '__fish_seen_subcommand_from {name}' -l {long[2:]}"
                if short:
                    line += f" -s {short[1:]}"
                if value == "PID":
                    line += " -x -a '(__fish_complete_pids)'"
                elif long == "--palette":
                    line += f" -x -a '{' '.join(palettes)}'"
                elif value == "FORMAT":
                    line += f" -x -a '{' '.join(formats)}'"
                elif value:
                    line += " -r"
                file.write(f"{line} -d '{fish_words(words)}'\n")


def main():
    perfd, perfctl, out, version = sys.argv[1:]
    pages, completions = os.path.join(out, "man"), os.path.join(out, "completions")
    os.makedirs(pages, exist_ok=True)
    os.makedirs(completions, exist_ok=True)
    commands = commands_of(perfctl)
    named = [(name, summary) for name, summary in commands if name != "help"]
    helps = {name: split_help(output_of(perfctl, "help", name)) for name, _ in named}
    formats = words_of(helps["record"][2], "Formats, with the extensions that choose them:")
    palettes = words_of(helps["record"][2], "Palettes of pictures:")
    write_perfctl_page(commands, pages, version)
    write_perfd_page(perfd, pages, version)
    write_config_page(perfd, pages, version)
    for name, summary in named:
        if name != "version":
            write_command_page(perfctl, name, summary, pages, version)
    write_bash(os.path.join(completions, "perfctl"), commands, helps, formats, palettes)
    write_zsh(os.path.join(completions, "_perfctl"), commands, helps, formats, palettes)
    write_fish(os.path.join(completions, "perfctl.fish"), commands, helps, formats, palettes)


if __name__ == "__main__":
    main()
