# strip(line): a line of C without comments, and with "" and '' for its literals.
# Lines must come in order; call strip_reset() before each file.  line_comment is 1
# when the line had a // comment.
function strip_reset()
{
    in_comment = 0
}

function strip_literal(rest, quote,    i, c)
{
    for (i = 2; i <= length(rest); i++) {
        c = substr(rest, i, 1)
        if (c == "\\")
            i++
        else if (c == quote)
            return substr(rest, i + 1)
    }
    return ""
}

function strip(rest,    code, at)
{
    code = ""
    line_comment = 0
    for (;;) {
        if (in_comment) {
            at = index(rest, "*/")
            if (!at)
                return code
            in_comment = 0
            rest = substr(rest, at + 2)
        }
        if (!match(rest, /\/\*|\/\/|"|'/))
            return code rest
        code = code substr(rest, 1, RSTART - 1)
        rest = substr(rest, RSTART)
        if (substr(rest, 1, 2) == "//") {
            line_comment = 1
            return code
        } else if (substr(rest, 1, 2) == "/*") {
            in_comment = 1
            code = code " "
            rest = substr(rest, 3)
        } else {
            code = code substr(rest, 1, 1) substr(rest, 1, 1)
            rest = strip_literal(rest, substr(rest, 1, 1))
        }
    }
}
