# Lets doxygen read our headers: their comments are plain /* */ and plain text.  A
# comment that begins a line becomes /** (the first one of a file its @file), one that
# follows a member or macro becomes /**<, and characters that mean something to doxygen
# are escaped, except in indented lines, which are code.
function escape(text)
{
    if (text ~ /^ \*     /)
        return text
    gsub(/[@\\#<>%&]/, "\\\\&", text)
    return text
}

!inside && match($0, /\/\*/) {
    before = substr($0, 1, RSTART - 1)
    text = escape(substr($0, RSTART + 2))
    open = before ~ /^[ \t]*$/ ? (first_seen ? "/**" : "/** @file\n *") : "/**<"
    first_seen = 1
    inside = text !~ /\*\//
    print before open text
    next
}

inside {
    inside = $0 !~ /\*\//
    print escape($0)
    next
}

{ print }
