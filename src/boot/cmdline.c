/* SPDX-License-Identifier: MIT */
#include "boot/cmdline.h"

extern const struct option __start_options[], __stop_options[];

char saved_cmdline[1024];

/* Documented spelling mixes both; either is accepted. */
static char fold(char c)
{
    return c == '_' ? '-' : c;
}

static bool name_is(const char *word, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!name[i] || fold(word[i]) != fold(name[i]))
            return false;
    return !name[n];
}

static bool is_one_of(const char *s, const char *const words[], unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!strcmp(s, words[i]))
            return true;
    return false;
}

int cmdline_bool(bool *var, const char *v)
{
    static const char *const yes[] = { "", "1", "yes", "on", "true", "enable" };
    static const char *const no[] = { "0", "no", "off", "false", "disable" };

    if (is_one_of(v, yes, ARRAY_SIZE(yes)))
        *var = true;
    else if (is_one_of(v, no, ARRAY_SIZE(no)))
        *var = false;
    else
        return -EINVAL;
    return 0;
}

int cmdline_list_bool(bool *var, const char *word, const char *name)
{
    size_t n = strlen(name);
    bool no = !strncmp(word, "no-", 3);

    if (no)
        word += 3;
    if (strncmp(word, name, n) || (word[n] && (no || word[n] != '=')))
        return -ENOENT;
    return cmdline_bool(var, no ? "0" : word[n] ? word + n + 1 : "");
}

bool cmdline_word(const char **s, char *word, size_t size)
{
    size_t n = 0;

    if (!**s)
        return false;
    for (; **s && **s != ','; ++*s)
        if (n + 1 < size)
            word[n++] = **s;
    word[n] = 0;
    if (**s)
        ++*s;
    return true;
}

static int set_number(const struct option *o, const char *v)
{
    const char *end;
    u64 n = o->type == OPT_SIZE ? parse_size(v, &end) : parse_u64(v, &end);

    if (end == v || *end)
        return -EINVAL;
    *(u64 *)o->var = n;
    return 0;
}

/* negated: the word was no-NAME. */
static int apply(const struct option *o, const char *value, bool has_value, bool negated)
{
    switch (o->type) {
    case OPT_BOOL:
        return cmdline_bool(o->var, negated ? "0" : value);
    case OPT_CUSTOM:
        return o->fn(negated ? "0" : value);
    case OPT_IGNORE:
        return 0;
    case OPT_UINT:
    case OPT_SIZE:
        return negated ? -EINVAL : set_number(o, value);
    case OPT_STRING:
        if (negated || !has_value || str_copy(o->var, value, o->size) >= o->size)
            return -EINVAL;
        return 0;
    default:
        return -EINVAL;
    }
}

static const struct option *find(const char *name, size_t n)
{
    for (const struct option *o = __start_options; o < __stop_options; o++)
        if (name_is(name, n, o->name))
            return o;
    return NULL;
}

static void parse_word(const char *word)
{
    const char *eq = strchr(word, '=');
    size_t n = eq ? (size_t)(eq - word) : strlen(word);
    bool negated = false;
    const struct option *o = find(word, n);

    if (!o && n > 3 && !strncmp(word, "no-", 3) && !eq) {
        o = find(word + 3, n - 3);
        negated = true;
    }
    if (!o)
        printk(LOG_WARN, "Unknown option '%s' is ignored\n", word);
    else if (apply(o, eq ? eq + 1 : "", eq != NULL, negated))
        printk(LOG_ERR, "Option '%s' is malformed and ignored (%s)\n", word, o->help ? o->help : "see the reference");
}

void cmdline_parse(const char *line)
{
    char word[256];

    str_copy(saved_cmdline, line, sizeof(saved_cmdline));
    while (*line) {
        while (*line == ' ' || *line == '\t' || *line == '\n')
            line++;
        size_t n = 0;
        while (line[n] && line[n] != ' ' && line[n] != '\t' && line[n] != '\n')
            n++;
        if (n == 2 && !strncmp(line, "--", 2))
            break;                  /* the rest is dom0's */
        if (n >= sizeof(word))
            printk(LOG_ERR, "Option '%.32s...' is too long and ignored\n", line);
        else if (n) {
            memcpy(word, line, n);
            word[n] = 0;
            parse_word(word);
        }
        line += n;
    }
}
