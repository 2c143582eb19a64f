/* SPDX-License-Identifier: MIT */
#include "boot/xencfg.h"
#include "lib/lib.h"

/* A piece of the text. */
struct span { const char *p; size_t n; };

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct span trim(struct span s)
{
    while (s.n && is_blank(*s.p)) {
        s.p++;
        s.n--;
    }
    while (s.n && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

static bool span_is(struct span s, const char *word)
{
    return s.n == strlen(word) && !memcmp(s.p, word, s.n);
}

/* Cut the next line off *rest; false at the end of the text (a NUL ends it too). */
static bool next_line(struct span *rest, struct span *line)
{
    size_t n = 0;

    if (!rest->n || !*rest->p)
        return false;
    while (n < rest->n && rest->p[n] != '\n' && rest->p[n])
        n++;
    *line = trim((struct span){ rest->p, n });
    if (n < rest->n && rest->p[n] == '\n')
        n++;
    rest->p += n;
    rest->n -= n;
    return true;
}

/* [name] */
static bool is_header(struct span line, struct span *name)
{
    if (line.n < 2 || line.p[0] != '[' || line.p[line.n - 1] != ']')
        return false;
    *name = trim((struct span){ line.p + 1, line.n - 2 });
    return true;
}

static struct span whole(const char *text, size_t len)
{
    if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))   /* editors' byte order mark */
        return (struct span){ text + 3, len - 3 };
    return (struct span){ text, len };
}

static bool has_headers(const char *text, size_t len)
{
    struct span rest = whole(text, len), line, name;

    while (next_line(&rest, &line))
        if (is_header(line, &name))
            return true;
    return false;
}

bool xencfg_has_section(const char *text, size_t len, const char *section)
{
    struct span rest = whole(text, len), line, name;

    while (next_line(&rest, &line))
        if (is_header(line, &name) && span_is(name, section))
            return true;
    return false;
}

int xencfg_get(const char *text, size_t len, const char *section, const char *key, char *out, size_t size)
{
    struct span rest = whole(text, len), line, name;
    bool here = !section || !has_headers(text, len);

    if (size)
        *out = 0;
    while (next_line(&rest, &line)) {
        size_t eq = 0;
        if (!line.n || line.p[0] == '#')
            continue;
        if (is_header(line, &name)) {
            here = !section || span_is(name, section);
            continue;
        }
        while (eq < line.n && line.p[eq] != '=')
            eq++;
        if (!here || eq == line.n || !span_is(trim((struct span){ line.p, eq }), key))
            continue;
        struct span v = trim((struct span){ line.p + eq + 1, line.n - eq - 1 });
        if (v.n >= size)
            return -2;
        memcpy(out, v.p, v.n);
        out[v.n] = 0;
        return (int)v.n;
    }
    return -1;
}

/* ---- load options ---- */

static bool copy_span(char *dst, size_t size, struct span s)
{
    size_t n = MIN(s.n, size - 1);

    memcpy(dst, s.p, n);
    dst[n] = 0;
    return n == s.n;
}

static struct span next_word(const char **p)
{
    while (is_blank(**p) || **p == '\n')
        (*p)++;
    struct span w = { *p, 0 };
    while (w.p[w.n] && !is_blank(w.p[w.n]) && w.p[w.n] != '\n')
        w.n++;
    *p += w.n;
    return w;
}

void efi_args_parse(struct efi_args *a, const char *text)
{
    bool first = true;

    memset(a, 0, sizeof(*a));
    for (;; first = false) {
        struct span w = next_word(&text);
        if (!w.n)
            break;
        if (span_is(w, "--")) {
            while (is_blank(*text))
                text++;
            break;
        }
        if (w.p[0] != '-') {
            /* The first word is normally the image's own name. */
            if (!first)
                a->bad |= !copy_span(a->section, sizeof(a->section), w);
        } else if (span_is(w, "-basevideo"))
            a->basevideo = true;
        else if (span_is(w, "-help") || span_is(w, "-?"))
            a->help = true;
        else if (span_is(w, "-mapbs"))
            continue;               /* boot services memory is never mapped for run time */
        else if (span_is(w, "-cfg"))
            a->bad |= !copy_span(a->cfg, sizeof(a->cfg), next_word(&text));
        else if (w.n > 5 && !memcmp(w.p, "-cfg=", 5))
            a->bad |= !copy_span(a->cfg, sizeof(a->cfg), (struct span){ w.p + 5, w.n - 5 });
        else {
            a->bad = true;
            copy_span(a->unknown, sizeof(a->unknown), w);
        }
    }
    a->rest = text;
}
