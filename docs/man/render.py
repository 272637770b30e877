#!/usr/bin/python3
"""Manual pages and the sample configuration, from the tables that --help prints.

  render.py relay  TEXT OPTIONS.json VERSION   outbox-relay.1
  render.py ctl    TEXT HELP.json VERSION      outboxctl.1
  render.py sample OPTIONS.json                outbox-relay.conf

A text has sections (a line in capitals), paragraphs, `_term_` lines that begin a list's
item, and within paragraphs *bold*, _underlined_ and `verbatim`.
"""
import json
import re
import sys
import textwrap

SECTION = re.compile(r"^[A-Z][A-Z ]+$")
TERM = re.compile(r"^_(?P<term>[^_].*?)_(?P<rest>.*)$")
INLINE = re.compile(r"(?<![\w*])\*(?P<bold>[^*\n]+)\*|(?<![\w_])_(?P<italic>[^_\n]+)_(?![\w])|`(?P<code>[^`\n]+)`")


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return re.sub(r"(?m)^\.", "\\\\&.", text)


def inline(text):
    """A paragraph's marks as fonts."""
    out, at = [], 0
    for match in INLINE.finditer(text):
        out.append(escape(text[at:match.start()]))
        font = "I" if match["italic"] else "B"
        out.append(f"\\f{font}{escape(match['bold'] or match['italic'] or match['code'])}\\fR")
        at = match.end()
    out.append(escape(text[at:]))
    return "".join(out)


def item(term, *paragraphs):
    return [".TP", f"\\fB{escape(term)}\\fR", paragraphs[0],
            *(line for more in paragraphs[1:] for line in (".IP", more))]


def header(title, version):
    return [f'.TH {title} 1 "" "liboutbox {version}" "liboutbox"', ".nh", ".ad l"]


def page(title, version, text, blocks):
    out = header(title, version)
    for block in text.strip().split("\n\n"):
        lines = block.split("\n")
        if SECTION.match(lines[0]):
            out.append(f".SH {lines.pop(0)}")
            if not lines:
                continue
        elif len(lines) == 1:
            out.append(".PP")
        body = "\n".join(lines)
        if body in blocks:
            out += blocks[body]
        elif TERM.match(lines[0]) and len(lines) > 1:
            match = TERM.match(lines[0])
            if out[-1] == ".PP":
                out.pop()
            out += [".TP", f"\\fB{escape(match['term'])}\\fR{escape(match['rest'])}", inline(" ".join(lines[1:]))]
        else:
            out.append(inline(body))
    return "\n".join(out) + "\n"


def sentence(text):
    return text[0].upper() + text[1:].rstrip(".") + "."


def relay_options(options):
    out = []
    for option in options:
        default = option["default"]
        notes = [f"Accepts {option['accepts']}."]
        if default:
            notes.append(f"Default: {default}.")
        if option["reloadable"]:
            notes.append("Reloadable.")
        out += item(option["name"], escape(sentence(option["doc"])), escape(" ".join(notes)))
    return out


def flags(table):
    out = []
    for flag in table:
        value = f" \\fI{escape(flag['value'])}\\fR" if flag["value"] else ""
        out += [".TP", f"\\fB{escape('--' + flag['name'])}\\fR{value}", escape(sentence(flag["help"]))]
    return out


def commands(table):
    out = []
    for command in table:
        operands = f" \\fI{escape(command['operands'])}\\fR" if command["operands"] else ""
        out += [f".SS \\fBoutboxctl {escape(command['name'])}\\fR{operands}", escape(sentence(command["summary"]))]
        if command["help"]:
            out += [".PP", escape(command["help"]).replace("\n\n", "\n.PP\n")]
        out += flags(command["flags"])
        for example in command["examples"]:
            out += [".PP", f"{escape(sentence(example['text']))}", ".RS 4", ".nf",
                    escape("outboxctl " + example["line"]), ".fi", ".RE"]
        out += exits(command["exits"])
    return out


def exits(table):
    return [line for row in table for line in (".TP", f"\\fB{row['code']}\\fR", escape(sentence(row["text"])))]


def comment(text):
    return "\n".join(textwrap.wrap(text, 96, initial_indent="# ", subsequent_indent="# "))


def sample(options):
    out = ["# Configuration of outbox-relay: every option, at its default. Read by --config FILE or OUTBOX_CONFIG.",
           "# See outbox-relay(1)."]
    for option in options:
        more = "; read again on SIGHUP" if option["reloadable"] else ""
        out += ["", comment(sentence(option["doc"])), comment(f"Accepts {option['accepts']}{more}."),
                f"#{option['name']} = {option['default'] or ''}".rstrip()]
    out += ["", comment("Properties of librdkafka, without their prefix \"kafka.\"; bootstrap.servers must be given."),
            "#[kafka]", "#bootstrap.servers = kafka-1:9092,kafka-2:9092", "#security.protocol = SASL_SSL",
            "#sasl.mechanism = SCRAM-SHA-512", "#sasl.username = relay", "#sasl.password =",
            "#ssl.ca.location = /etc/ssl/certs/ca-certificates.crt"]
    return "\n".join(out) + "\n"


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def main(kind, *arguments):
    if kind == "sample":
        return sample(json.loads(read(arguments[0])))
    text, table, version = arguments
    data = json.loads(read(table))
    if kind == "relay":
        return page("OUTBOX\\-RELAY", version, read(text), {"@OPTIONS@": relay_options(data)})
    return page("OUTBOXCTL", version, read(text),
                {"@COMMANDS@": commands(data["commands"]), "@FLAGS@": flags(data["flags"]),
                 "@EXITS@": exits(data["exits"])})


if __name__ == "__main__":
    sys.stdout.write(main(*sys.argv[1:]))
