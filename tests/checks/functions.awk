# Prints "length parameters file:line name" for every function definition of the C
# files given.  The length runs from the first line of the definition to its closing
# brace, without the lines inside the initializer of a table.  Use with strip.awk.
FNR == 1 {
    strip_reset()
    depth = linkage = branches = continued = parens = 0
    head = statement = ""
}

{
    code = strip($0)
    directive = continued || code ~ /^[ \t]*#/
    continued = directive && $0 ~ /\\$/
    if (directive) {
        conditional(code)
        next
    }
    scan(code)
}

# Each branch of an #if starts at the depth at which the #if stood.
function conditional(code)
{
    if (code ~ /^[ \t]*#[ \t]*if/)
        saved[branches++] = depth
    else if (code ~ /^[ \t]*#[ \t]*(else|elif)/ && branches > 0)
        depth = saved[branches - 1]
    else if (code ~ /^[ \t]*#[ \t]*endif/ && branches > 0)
        branches--
}

function scan(rest,    c)
{
    while (match(rest, /[{}();]/)) {
        c = substr(rest, RSTART, 1)
        add(substr(rest, 1, RSTART - 1))
        rest = substr(rest, RSTART + 1)
        if (c == "{") {
            open_brace()
        } else if (c == "}") {
            close_brace()
        } else if (c == ";" && parens == 0) {
            head = statement = ""
        } else {
            parens += (c == "(") - (c == ")")
            add(c)
        }
    }
    add(rest " ")
}

function add(text)
{
    if (depth == 0) {
        if (head ~ /^[ \t]*$/ && text !~ /^[ \t]*$/)
            head_line = FNR
        head = head text
    }
    statement = statement text
}

function open_brace()
{
    if (depth == 0 && head ~ /extern[ \t]*""[ \t]*$/) {
        linkage++
        head = statement = ""
        return
    }
    if (depth == 0) {
        name = ""
        tables = 0
        table_depth = -1
        if (head ~ /\)[ \t]*$/ && head !~ /=/)
            open_function()
    } else if (table_depth < 0 && statement ~ /=[ \t]*(\([^()]*\))?[ \t]*$/) {
        table_depth = depth
        table_line = FNR
    }
    depth++
    statement = ""
}

function open_function(    list, pieces)
{
    match(head, /[A-Za-z_][A-Za-z_0-9]*[ \t]*\(/)
    name = substr(head, RSTART, RLENGTH - 1)
    list = substr(head, RSTART + RLENGTH)
    while (gsub(/\([^()]*\)/, "", list))
        ;
    parameters = list ~ /^[ \t]*(void)?[ \t]*\)/ ? 0 : split(list, pieces, ",")
    start = head_line
}

function close_brace()
{
    if (depth == 0) {
        linkage--
        head = statement = ""
        return
    }
    depth--
    statement = ""
    if (depth == table_depth) {
        tables += FNR > table_line ? FNR - table_line - 1 : 0
        table_depth = -1
    }
    if (depth == 0) {
        if (name != "")
            printf "%d %d %s:%d %s\n", FNR - start + 1 - tables, parameters, FILENAME, start, name
        name = head = ""
    }
}
